"""The same words, over and over, until the limit."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
inputs = tok("I went to the shop. I went to the shop. I went to", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0]))
