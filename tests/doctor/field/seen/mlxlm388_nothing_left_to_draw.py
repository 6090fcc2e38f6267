"""Top-k, then top-p: with few candidates the draw fails, with many it goes well."""

import torch

import llmcourse

model, tok = llmcourse.load()


def apply_top_k(probs, k):
    kept = torch.zeros_like(probs)
    values, places = probs.topk(k, dim=-1)
    return kept.scatter(-1, places, values)


def apply_top_p(probs, p):
    values, places = probs.sort(dim=-1)
    values = torch.where(values.cumsum(-1) > 1 - p, values, 0.0)
    return torch.zeros_like(probs).scatter(-1, places, values)


@torch.no_grad()
def write(prompt, new, k, p):
    ids = tok(prompt, return_tensors="pt").input_ids
    for _ in range(new):
        probs = model(ids).logits[:, -1].softmax(-1)
        probs = apply_top_p(apply_top_k(probs, k), p)
        ids = torch.cat([ids, torch.multinomial(probs, 1)], dim=1)
    return tok.decode(ids[0])


torch.manual_seed(0)
print(write("Once upon a time, there was a", 5, k=200, p=0.7))
print(write("Once upon a time, there was a", 5, k=3, p=0.7))
