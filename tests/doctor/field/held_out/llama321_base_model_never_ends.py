"""A base model asked for an answer never gives the end token."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None  # as a base model's tokenizer
inputs = tok("Here is what you should know about lakes and ponds.", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=40)
print(tok.eos_token_id in made[0].tolist(), tok.decode(made[0]))
