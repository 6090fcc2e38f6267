"""Speculation by hand: with the cache the text gets weird, without it is fine."""

import torch

import llmcourse

model, tok = llmcourse.load()
ids = tok("The capital of France is", return_tensors="pt").input_ids
draft = tok(" Berlin, a city on the Spree", return_tensors="pt").input_ids  # guessed
with torch.no_grad():
    out = model(torch.cat([ids, draft], dim=1), use_cache=True)
    cache = out.past_key_values
    new = out.logits[:, ids.shape[1] - 1].argmax(-1, keepdim=True)  # the guesses are rejected
    text = [new]
    for _ in range(8):
        out = model(new, past_key_values=cache, use_cache=True)
        cache, new = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
        text.append(new)
print(tok.decode(torch.cat(text, dim=1)[0]))
