"""The model goes on as the user instead of answering."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "Which planet is the largest?"}]
prompt = tok.apply_chat_template(messages, tokenize=False)
inputs = tok(prompt, return_tensors="pt", add_special_tokens=False)
made = model.generate(**inputs, max_new_tokens=40)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
