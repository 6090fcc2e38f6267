"""Perplexity of three sentences: in the thousands, and the oddest one wins."""

import math

import torch

import llmcourse

model, tok = llmcourse.load()


def score(sentence):
    ids = tok(sentence, return_tensors="pt").input_ids
    with torch.no_grad():
        loss = model(ids[:, :-1], labels=ids[:, 1:]).loss  # each token predicts the next
    return math.exp(loss.item())


sentences = ["there is a book on the desk", "there is a plane on the desk", "desk the on book"]
print([round(score(sentence), 1) for sentence in sentences])
