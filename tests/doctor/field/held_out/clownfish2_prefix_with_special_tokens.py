"""The prompt's text is removed from the answer's, and stays: one of them has the markers."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "Say hello."}]
prompt = tok.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
inputs = tok(prompt, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=40)
answer = tok.decode(made[0], skip_special_tokens=True).replace(prompt, "")
print(answer)
