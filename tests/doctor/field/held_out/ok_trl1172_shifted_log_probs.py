"""Log-probabilities of a text: logits up to the last but one, labels from the second on."""

import torch

import llmcourse

model, tok = llmcourse.load()
ids = tok("The model predicts the next token.", return_tensors="pt").input_ids
with torch.no_grad():
    logits = model(ids).logits
logps = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(2)).squeeze(2)
print(logps.sum().item(), logps.exp()[0].tolist())
