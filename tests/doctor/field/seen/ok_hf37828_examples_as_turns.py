"""Examples for a chat model: each one is a question and an answer that it never gave."""

import llmcourse

model, tok = llmcourse.load()
messages = [
    {"role": "user", "content": "Text: The first human went into space on April 12, 1961."},
    {"role": "assistant", "content": "Date: 04/12/1961"},
    {"role": "user", "content": "Text: The debate was held on September 28, 1960."},
]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
