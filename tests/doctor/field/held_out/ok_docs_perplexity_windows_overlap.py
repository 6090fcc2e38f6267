"""The perplexity of a text that is longer than the window, in windows that overlap."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
text = (
    "The river rises in the hills, runs past the old mill and the village with the stone bridge, "
    "turns to the south where the fields are wide and flat, and reaches the sea near a small "
    "harbour, from which the boats go out early in the morning and come home late in the evening."
)
ids = tok(text, return_tensors="pt").input_ids
WINDOW, STRIDE = 32, 16
total, counted, previous_end = 0.0, 0, 0
for begin in range(0, ids.shape[1], STRIDE):
    end = min(begin + WINDOW, ids.shape[1])
    new = end - previous_end
    window = ids[:, begin:end]
    labels = window.clone()
    labels[:, :-new] = -100
    with torch.no_grad():
        loss = model(window, labels=labels).loss
    predicted = int((labels[:, 1:] != -100).sum())
    total += loss.item() * predicted
    counted += predicted
    previous_end = end
    if end == ids.shape[1]:
        break
assert counted == ids.shape[1] - 1
print("perplexity:", torch.tensor(total / counted).exp().item())
