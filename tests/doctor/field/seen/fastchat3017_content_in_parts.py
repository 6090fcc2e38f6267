"""TypeError: can only concatenate str (not "list") to str, with the messages of an API's manual."""

import llmcourse

model, tok = llmcourse.load()
messages = [
    {"role": "system", "content": "You are a large language model."},
    {"role": "user", "content": [{"type": "text", "text": "What can you do for me?"}]},
]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=40)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
