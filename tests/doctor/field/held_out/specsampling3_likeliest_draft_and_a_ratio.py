"""Speculative sampling by hand: one word comes far more often than the model itself says it."""

import torch

import llmcourse

torch.manual_seed(0)
model, tok = llmcourse.load()
ids = tok("My favourite colour is", return_tensors="pt").input_ids
with torch.no_grad():
    target = model(ids).logits[0, -1].softmax(-1)
    draft = model(ids[:, 1:]).logits[0, -1].softmax(-1)  # stands for a smaller model


def speculate():
    guess = draft.argmax()
    if torch.rand(()) < min(1.0, (target[guess] / draft[guess]).item()):
        return guess.item()
    rest = (target - draft).clamp(min=0)
    return torch.multinomial(rest / rest.sum(), 1).item()


drawn = [speculate() for _ in range(400)]
guess = draft.argmax().item()
print(repr(tok.decode(guess)), drawn.count(guess) / 400, "but the model says", target[guess].item())
