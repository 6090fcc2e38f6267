"""Perplexity in overlapping windows: what a window before has scored is context, labelled -100."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
text = "Rivers run to the sea, and clouds bring the water back to the hills again. " * 12
ids = tok(text, return_tensors="pt").input_ids
window, stride, end_before = 64, 32, 0
total, count = 0.0, 0
for begin in range(0, ids.shape[1], stride):
    end = min(begin + window, ids.shape[1])
    part = ids[:, begin:end]
    labels = part.clone()
    labels[:, : -(end - end_before)] = -100
    scored = (labels[:, 1:] != -100).sum().item()  # the model shifts the labels itself
    with torch.no_grad():
        total += model(part, labels=labels).loss.item() * scored
    count, end_before = count + scored, end
    if end == ids.shape[1]:
        break
print(torch.tensor(total / count).exp())
