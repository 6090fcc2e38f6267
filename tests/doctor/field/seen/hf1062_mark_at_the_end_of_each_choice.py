"""Two endings of a story, each closed with a mark of its own, and the model fails before it says a word."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.add_special_tokens({"cls_token": "[CLS]"})  # closes a choice


@torch.no_grad()
def better(beginning, choices):
    losses = []
    for choice in choices:
        ids = tok(f"{beginning} {choice} [CLS]", return_tensors="pt").input_ids
        losses.append(model(input_ids=ids, labels=ids).loss.item())
    return choices[losses.index(min(losses))]


print("tokens:", len(tok))
print(better("It rained, so", ["she took an umbrella.", "she took a violin."]))
