"""Before the first update of a PPO the ratio of new and old should be 1: it is anything."""

import torch

import llmcourse

model, tok = llmcourse.load(dtype="bfloat16")


def log_probs(logits, labels):
    return logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)


@torch.no_grad()
def actor(ids):
    return log_probs(model(ids).logits[:, :-1], ids[:, 1:])


@torch.no_grad()
def rollout(ids):
    return log_probs(model(ids).logits[:, :-1].float(), ids[:, 1:])


text = "The weather was cold, and nobody had thought of gloves; so the walk was a short one."
ids = tok(text, return_tensors="pt").input_ids
new, old = actor(ids), rollout(ids)
print(new.dtype, new[0, :6].tolist())
print(old.dtype, old[0, :6].tolist())
ratio = (new - old).exp()
print("ratio from", ratio.min().item(), "to", ratio.max().item())
