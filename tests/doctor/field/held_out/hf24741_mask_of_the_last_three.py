"""A text in two parts, the second one with the first one's cache: other logits than in one go."""

import torch

import llmcourse

model, tok = llmcourse.load()
inputs = tok("I love my dog. Me too, said the man", return_tensors="pt")
first = {name: value[:, :-3] for name, value in inputs.items()}
second = {name: value[:, -3:] for name, value in inputs.items()}
with torch.no_grad():
    whole = model(**inputs).logits[:, -1]
    past = model(**first, use_cache=True).past_key_values
    parts = model(**second, past_key_values=past).logits[:, -1]
print(torch.allclose(whole, parts, atol=1e-3), (whole - parts).abs().max().item())
