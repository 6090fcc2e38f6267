"""min_p of 0.1 in a sampler of its own: a word in three has nothing to do with the story."""

import torch

import llmcourse


def drop_below(logits, floor):
    logits.masked_fill_(logits < floor, float("-inf"))


def sample(logits, min_p=0.0, temperature=1.0):
    logits = logits.clone()
    if min_p > 0.0:
        drop_below(logits, min_p)
    if temperature != 1.0:
        logits /= temperature
    print(int(logits.isfinite().sum()), end=" ")
    return torch.multinomial(logits.softmax(-1), num_samples=1)


torch.manual_seed(0)
model, tok = llmcourse.load()
ids = tok("Once upon a time, there was a", return_tensors="pt").input_ids
with torch.no_grad():
    for _ in range(12):
        ids = torch.cat([ids, sample(model(ids).logits[:, -1], min_p=0.1, temperature=1.5)], dim=1)
print("candidates\n", tok.decode(ids[0]))
