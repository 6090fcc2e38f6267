"""The same for a right-padded batch: padding is masked out of the sum."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "right"
batch = tok(["Yes.", "No, I would rather not do that."], padding=True, return_tensors="pt")
labels = batch.input_ids[:, 1:]
mask = batch.attention_mask[:, 1:]
with torch.no_grad():
    logits = model(**batch).logits[:, :-1]
per_token = logits.log_softmax(-1).gather(2, labels.unsqueeze(2)).squeeze(2)
print((per_token * mask).sum(-1).tolist())
