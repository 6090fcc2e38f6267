"""A beam search by hand: with more beams the text becomes less likely."""

import torch

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def beam_search(prompt, width, steps):
    start = tok(prompt, return_tensors="pt").input_ids
    beams = [(0.0, start)]
    for _ in range(steps):
        candidates = []
        for score, ids in beams:
            logps = model(ids).logits[0, -1].log_softmax(-1)
            best = logps.topk(width)
            for logp, token in zip(best.values, best.indices, strict=True):
                candidates.append((score + logp.item(), torch.cat([ids, token.view(1, 1)], dim=1)))
        beams = sorted(candidates, key=lambda beam: beam[0], reverse=True)[:width]
    score, ids = beams[-1]
    return score, tok.decode(ids[0, start.shape[1] :])


for width in (1, 2, 4):
    print(width, *beam_search("The best way to learn a language is", width, 5))
