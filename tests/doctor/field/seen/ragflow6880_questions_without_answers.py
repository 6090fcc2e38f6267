"""Only what the user said is kept of the history: three questions in a row, and no answer."""

import llmcourse

model, tok = llmcourse.load()
history = [
    {"role": "user", "content": "Choose a colour for my door."},
    {"role": "assistant", "content": "I choose dark green."},
    {"role": "user", "content": "And one for the window?"},
    {"role": "assistant", "content": "For the window I choose white."},
    {"role": "user", "content": "Which two colours did you choose?"},
]
messages = [message for message in history if message["role"] == "user"]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=80)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
