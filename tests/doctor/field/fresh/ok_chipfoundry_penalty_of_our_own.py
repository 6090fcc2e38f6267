"""A repetition penalty that is written by hand, in a loop of its own."""

import torch

import llmcourse

model, tokenizer = llmcourse.load()


def apply_penalty(logits, seen, penalty):
    for token in seen.unique():
        score = logits[token]
        logits[token] = score / penalty if score > 0 else score * penalty
    return logits


@torch.no_grad()
def write(text, length, penalty=1.2):
    ids = tokenizer(text, return_tensors="pt").input_ids
    for _ in range(length):
        logits = model(ids).logits[0, -1]
        best = apply_penalty(logits, ids[0], penalty).argmax()
        ids = torch.cat([ids, best.view(1, 1)], dim=1)
    return ids


text = "The weather today is"
mine = write(text, 20)
inputs = tokenizer(text, return_tensors="pt")
theirs = model.generate(**inputs, max_new_tokens=20, do_sample=False, repetition_penalty=1.2)
print(repr(tokenizer.decode(mine[0])), torch.equal(mine, theirs))
