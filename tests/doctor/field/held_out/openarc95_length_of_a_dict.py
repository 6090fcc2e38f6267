"""The answer begins with the question: the dict has a length of two, its number of keys."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "What is the capital of Norway?"}]
prompt_ids = tok.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
made = model.generate(**prompt_ids, max_new_tokens=40)
answer = made[0][len(prompt_ids) :]
print(len(answer), "new tokens:", tok.decode(answer, skip_special_tokens=True))
