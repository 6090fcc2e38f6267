"""Perplexity of a set of texts: it depends on what else is in the batch."""

import math

import torch

import llmcourse

model, tok = llmcourse.load()
short = "The sun rises in the east."
long = "He stayed for weeks, and wrote to her each day about the lake, the boats and the fog on it."


def perplexity(texts):
    batch = tok(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model(**batch, labels=batch["input_ids"])
    total = out.loss.item() * batch["input_ids"].numel()
    return math.exp(total / batch["input_ids"].numel())


print(perplexity([short]), perplexity([long]))
print("together:", perplexity([short, long]))
