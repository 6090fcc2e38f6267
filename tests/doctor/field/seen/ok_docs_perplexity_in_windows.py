"""The perplexity of a text that is longer than the window, with windows that overlap."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
TEXT = (
    "The old mill stands where the river bends. In spring the meadows around it are flooded, and "
    "storks walk through the shallow water. Nobody has lived there since the miller's daughter "
    "moved to town, but on Sundays people come with baskets and blankets and stay until dark. "
    "Some say that the wheel still turns at night when the moon is full and the wind is still."
)


@torch.no_grad()
def perplexity(text, max_length=32, stride=16):
    ids = tok(text, return_tensors="pt").input_ids
    nll_sum, n_tokens, prev_end = 0.0, 0, 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + max_length, ids.shape[1])
        target_length = end - prev_end
        window = ids[:, begin:end]
        labels = window.clone()
        labels[:, :-target_length] = -100
        predicted = int((labels[:, 1:] != -100).sum())
        nll_sum += model(window, labels=labels).loss.item() * predicted
        n_tokens += predicted
        prev_end = end
        if end == ids.shape[1]:
            break
    assert n_tokens == ids.shape[1] - 1
    return float(torch.exp(torch.tensor(nll_sum / n_tokens)))


for stride in (16, 8):
    print(stride, perplexity(TEXT, stride=stride))
print("in one piece", perplexity(TEXT, max_length=512, stride=512))
