"""Prompt lookup for a whole batch of prompts."""

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "left"
prompts = ["Repeat: one two three. One two", "Repeat: red green blue. Red green"]
inputs = tok(prompts, padding=True, return_tensors="pt")
made = model.generate(**inputs, prompt_lookup_num_tokens=3, max_new_tokens=8)
print(tok.batch_decode(made))
