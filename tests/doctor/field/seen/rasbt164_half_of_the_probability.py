"""Words are drawn from the likeliest half: what may be drawn makes up much less than that."""

import torch

import llmcourse


def top_p_filter(probas, top_p):
    sorted_probas, order = torch.sort(probas, dim=1, descending=True)
    cumprobas = torch.cumsum(sorted_probas, dim=1)
    keep = cumprobas <= top_p
    keep[:, 0] = True
    kept = torch.where(keep, sorted_probas, torch.zeros_like(sorted_probas))
    filtered = torch.zeros_like(probas).scatter(1, order, kept)
    print("kept", int(keep.sum()), "words with", round(float(kept.sum()), 3), "of", top_p)
    return filtered / filtered.sum(dim=1, keepdim=True)


@torch.no_grad()
def generate(model, tok, text, steps=6, top_p=0.5):
    ids = tok(text, return_tensors="pt").input_ids
    for _ in range(steps):
        probas = model(ids).logits[:, -1].softmax(-1)
        drawn = torch.multinomial(top_p_filter(probas, top_p), 1)
        ids = torch.cat([ids, drawn], dim=1)
    return tok.decode(ids[0])


torch.manual_seed(1)
print(generate(*llmcourse.load(), "The capital of France is"))
