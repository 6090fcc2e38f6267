"""Labels are rolled to the left, log-probabilities back to the right: each stands at its token."""

import torch

import llmcourse

model, tok = llmcourse.load()
prompt = tok("Q: What is the capital of France?\nA:").input_ids
answer = tok(" Paris, of course.").input_ids
ids = torch.tensor([prompt + answer])
loss_mask = torch.tensor([[False] * len(prompt) + [True] * len(answer)])
with torch.no_grad():
    logits = model(ids, attention_mask=torch.ones_like(ids)).logits
    reference = model(ids, labels=ids.masked_fill(~loss_mask, -100)).loss

labels = torch.roll(ids, shifts=-1, dims=1)
counted = torch.roll(loss_mask, shifts=-1, dims=1)
labels = labels.masked_fill(~counted, 0)
per_token = logits.log_softmax(-1).gather(2, labels.unsqueeze(2)).squeeze(2)
per_token = per_token.masked_fill(~counted, 0.0)
per_token = torch.roll(per_token, shifts=1, dims=1)

for token, value in zip(ids[0], per_token[0], strict=True):
    print(repr(tok.decode(token)), round(value.item(), 3))
print(per_token[:, 1:].sum().item(), -reference.item() * len(answer))
