"""The log-probability of a short text, from its mean loss: lower than that of its tokens."""

import torch

import llmcourse

model, tok = llmcourse.load()
ids = tok("Yes, it is.", return_tensors="pt").input_ids
with torch.no_grad():
    out = model(ids, labels=ids)
total = -out.loss.item() * ids.shape[1]
tokens = out.logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])
print(round(total, 3), round(tokens.sum().item(), 3))
