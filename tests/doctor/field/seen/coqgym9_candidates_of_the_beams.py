"""Beam search by hand over short answers: the printed sums are far from the answers' own."""

import torch

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def next_log_probs(ids):
    return model(ids).logits[0, -1].log_softmax(-1)


class Beam:
    def __init__(self, ids, score=0.0):
        self.ids, self.score = ids, score

    def expand(self, width):
        log_cond_prob = next_log_probs(self.ids) + self.score
        values, tokens = log_cond_prob.topk(width)
        for value, token in zip(values, tokens, strict=True):
            ids = torch.cat([self.ids, token.view(1, 1)], dim=1)
            yield Beam(ids, self.score + value.item())


def beam_search(prompt, width=3, steps=6):
    beams = [Beam(tok(prompt, return_tensors="pt").input_ids)]
    for _ in range(steps):
        candidates = [new for beam in beams for new in beam.expand(width)]
        beams = sorted(candidates, key=lambda beam: beam.score, reverse=True)[:width]
    return beams


prompt = "The best thing about winter is"
length = len(tok(prompt).input_ids)
for beam in beam_search(prompt):
    with torch.no_grad():
        log_probs = model(beam.ids).logits[0, length - 1 : -1].log_softmax(-1)
    own = log_probs.gather(-1, beam.ids[0, length:, None]).sum().item()
    print(round(beam.score, 2), round(own, 2), tok.decode(beam.ids[0, length:]))
