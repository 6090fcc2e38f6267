"""One prefix, two questions: the second answer mixes in the first question."""

import torch
from transformers import DynamicCache

import llmcourse

model, tok = llmcourse.load()
prefix = "You are a helpful assistant who knows every capital. "
cache = DynamicCache(config=model.config)
with torch.no_grad():
    model(**tok(prefix, return_tensors="pt"), past_key_values=cache)
for question in ("The capital of Italy is", "The largest animal in the sea is"):
    inputs = tok(prefix + question, return_tensors="pt")
    made = model.generate(**inputs, past_key_values=cache, max_new_tokens=12)
    print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
