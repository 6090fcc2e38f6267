"""A continuation is tried and rejected: its tokens are taken out of the cache again."""

import torch
from transformers import DynamicCache

import llmcourse

model, tok = llmcourse.load()
ids = tok("The capital of France is", return_tensors="pt").input_ids
tried = tok(" Berlin, a city on the Spree", return_tensors="pt").input_ids
cache = DynamicCache(config=model.config)
with torch.no_grad():
    logits = model(torch.cat([ids, tried], dim=1), past_key_values=cache).logits
    cache.crop(-tried.shape[1])
    token, text = logits[:, ids.shape[1] - 1].argmax(-1, keepdim=True), []
    for _ in range(8):
        text.append(token.item())
        token = model(token, past_key_values=cache).logits[:, -1].argmax(-1, keepdim=True)
print(tok.decode(text))
