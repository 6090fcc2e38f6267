"""Perplexity of a page: the model's own loss, without gradients."""

import torch

import llmcourse

model, tok = llmcourse.load()
encodings = tok("The river flows through the town and into the sea.", return_tensors="pt")
with torch.no_grad():
    loss = model(encodings.input_ids, labels=encodings.input_ids).loss
print(torch.exp(loss).item())
