"""Generating takes a bizarre amount of memory, more with each step."""

import torch

import llmcourse

model, tok = llmcourse.load()
ids = tok("Once upon a time", return_tensors="pt").input_ids
cache, step = None, ids
for _ in range(12):
    out = model(step, past_key_values=cache, use_cache=True)
    cache = out.past_key_values
    step = out.logits[:, -1:].argmax(-1)
    ids = torch.cat([ids, step], dim=1)
print(out.logits.requires_grad, tok.decode(ids[0]))
