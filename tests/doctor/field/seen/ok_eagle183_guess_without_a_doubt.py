"""The draft only names its favourite, so it is accepted with the chance that the model gives it."""

import torch

import llmcourse

model, tok = llmcourse.load()
prompt = tok("My favourite animal is the", return_tensors="pt").input_ids
with torch.no_grad():
    truth = model(prompt).logits[0, -1].softmax(-1)
    guess = model(prompt[:, -3:]).logits[0, -1].argmax()
candidates = torch.cat([guess[None], truth.topk(12).indices]).unique()
truth = truth[candidates] / truth[candidates].sum()
place = (candidates == guess).nonzero()[0, 0]


def draw():
    q = 1.0
    if torch.rand(()) < truth[place] / q:
        return place
    rest = truth.clone()
    rest[place] = 0
    return torch.multinomial(rest / rest.sum(), 1)[0]


torch.manual_seed(0)
drawn = torch.stack([draw() for _ in range(20000)])
shares = torch.bincount(drawn, minlength=len(truth)) / len(drawn)
print((shares - truth).abs().max().item())
