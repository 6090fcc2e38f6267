"""Top-p by hand: whatever is drawn, the text is made of bytes and rare signs."""

import torch

import llmcourse


def top_p(logits, p):
    ordered, _ = torch.sort(logits, descending=True)
    mass = ordered.softmax(-1).cumsum(-1)
    drop = mass > p
    drop[:, 1:], drop[:, 0] = drop[:, :-1].clone(), False
    ordered[drop] = float("-inf")
    return ordered.scatter(1, torch.arange(ordered.shape[1]).unsqueeze(0), ordered)


torch.manual_seed(0)
model, tok = llmcourse.load()
ids = tok("Once upon a time there was", return_tensors="pt").input_ids
with torch.no_grad():
    for _ in range(16):
        logits = model(ids).logits[:, -1]
        drawn = torch.multinomial(top_p(logits, 0.9).softmax(-1), 1)
        ids = torch.cat([ids, drawn], dim=1)
print(tok.decode(ids[0]))
