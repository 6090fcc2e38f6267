"""'Continue' does not continue the answer: a second one begins."""

import llmcourse

model, tok = llmcourse.load()
messages = [
    {"role": "user", "content": "Count from one to ten in words."},
    {"role": "assistant", "content": "One, two, three,"},  # to be continued
]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
