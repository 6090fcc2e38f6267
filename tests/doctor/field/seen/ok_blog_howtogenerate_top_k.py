"""Sampling with top-k, seeded."""

from transformers import set_seed

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
set_seed(42)
model_inputs = tok("I enjoy walking with my cute dog", return_tensors="pt")
sample_output = model.generate(**model_inputs, max_new_tokens=40, do_sample=True, top_k=50)
print(tok.decode(sample_output[0], skip_special_tokens=True))
