"""Only what was said goes into the history, not what was thought."""

import re

import llmcourse

model, tok = llmcourse.load()
answer = "<think>\nParis, of course.\n</think>\n\nThe capital of France is Paris."
messages = [
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": re.sub(r"<think>.*?</think>\s*", "", answer, flags=re.S)},
    {"role": "user", "content": "What is the capital of Spain?"},
]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
