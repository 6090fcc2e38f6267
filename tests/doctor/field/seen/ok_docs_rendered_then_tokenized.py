"""Rendered as text first, tokenized without adding special tokens."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "What is the capital of Spain?"}]
prompt = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
inputs = tok(prompt, add_special_tokens=False, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True))
