"""A penalty in a loop of its own: some tokens that were there come back all the more."""

import torch

import llmcourse

model, tok = llmcourse.load()


def penalize(logits, ids, penalty):
    for row, tokens in zip(logits, ids, strict=True):
        row[tokens.unique()] /= penalty
    return logits


@torch.no_grad()
def generate(prompt, new, penalty):
    ids = tok(prompt, return_tensors="pt").input_ids
    for _ in range(new):
        logits = penalize(model(ids).logits[:, -1], ids, penalty)
        ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], dim=1)
    return tok.decode(ids[0])


print(generate("Once upon a time, there was a", 12, 1.3))
with torch.no_grad():
    ids = tok("Once upon a time, there was a", return_tensors="pt").input_ids
    before = model(ids).logits[:, -1]
    after = penalize(before.clone(), ids, 1.3)
print(
    {tok.decode(i): (round(before[0, i].item(), 2), round(after[0, i].item(), 2)) for i in ids[0]}
)
