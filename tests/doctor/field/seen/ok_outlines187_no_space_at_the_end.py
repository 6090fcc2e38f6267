"""Prompts without a blank at their ends: words bring their own."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template, tok.padding_side = None, "left"
inputs = tok(["Write a short", "And another"], padding=True, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=10)
print(tok.batch_decode(made, skip_special_tokens=True))
