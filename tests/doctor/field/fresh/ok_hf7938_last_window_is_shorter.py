"""Strided perplexity: the last step is shorter than the others, and its labels say so."""

import torch

import llmcourse

model, tok = llmcourse.load()
text = (
    "The library closes at nine on weekdays. Students sit at the long tables under green lamps and "
    "whisper about their examinations. The librarian knows most of them by name. She has worked "
    "here for thirty years, and she can tell from the way in which somebody carries a book whether "
    "it will come back in time. When the bell rings she walks once through all rooms, wakes the "
    "sleepers, shuts the windows and puts out the lights."
)
ids = tok(text, return_tensors="pt").input_ids
max_length, stride = 48, 20
total, scored, done = 0.0, 0, 0  # done: up to where there is a score
for first in range(0, ids.size(1), stride):
    last = min(first + max_length, ids.size(1))
    new = last - done
    window = ids[:, first:last]
    labels = window.clone()
    labels[:, :-new] = -100
    with torch.no_grad():
        loss = model(window, labels=labels).loss
    count = (labels[:, 1:] != -100).sum().item()
    total += loss.item() * count
    scored += count
    done = last
    if done == ids.size(1):
        break
print(scored, "of", ids.size(1) - 1, "tokens scored, each once")
print("perplexity", torch.tensor(total / scored).exp().item())
