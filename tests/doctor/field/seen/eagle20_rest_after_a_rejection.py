"""Speculative sampling should draw as the large model does: the shares of 20000 draws differ."""

import torch

import llmcourse

model, tok = llmcourse.load()
prompt = tok("My favourite animal is the", return_tensors="pt").input_ids
with torch.no_grad():
    target = model(prompt).logits[0, -1].softmax(-1)
    draft = model(prompt[:, -3:]).logits[0, -1].softmax(-1)  # a cheap guess: little context
candidates = target.topk(12).indices
target = target[candidates] / target[candidates].sum()
draft = draft[candidates] / draft[candidates].sum()


def step(target, draft):
    guess = torch.multinomial(draft, 1)
    if torch.rand(1) < target[guess] / draft[guess]:
        return guess
    rest = target.clone()
    rest[guess] = (rest[guess] - draft[guess]).clamp(min=0)
    return torch.multinomial(rest / rest.sum(), 1)


torch.manual_seed(0)
drawn = torch.cat([step(target, draft) for _ in range(20000)])
shares = torch.bincount(drawn, minlength=len(target)) / len(drawn)
for token, wanted, share in zip(candidates, target, shares, strict=True):
    print(repr(tok.decode(token)), round(wanted.item(), 3), round(share.item(), 3))
