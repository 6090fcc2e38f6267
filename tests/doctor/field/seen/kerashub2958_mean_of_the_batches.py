"""The perplexity of the same texts is another one for each way of putting them into batches."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "right"
TEXTS = [
    "Paris is the capital of France, and its largest city, on both banks of the Seine.",
    "Rain fell on the roof all night, and in the morning the garden was green again.",
    "Zebra.",
]


class Perplexity:
    def __init__(self):
        self.total, self.seen = 0.0, 0

    def update(self, loss, rows):
        self.total += loss.item() * rows
        self.seen += rows

    def result(self):
        return torch.tensor(self.total / self.seen).exp().item()


for size in (1, 2, 3):
    metric = Perplexity()
    for start in range(0, len(TEXTS), size):
        batch = tok(TEXTS[start : start + size], padding=True, return_tensors="pt")
        labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
        with torch.no_grad():
            metric.update(model(**batch, labels=labels).loss, len(labels))
    print(size, metric.result())
