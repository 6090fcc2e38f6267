"""Stop at [/SENTENCE]: the marker is written in full, and generation goes on behind it."""

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

import llmcourse


class MarkerCriteria(StoppingCriteria):
    def __init__(self, marker_ids):
        self.marker_ids = marker_ids

    def __call__(self, input_ids, scores, **kwargs):
        size = len(self.marker_ids)
        return torch.equal(input_ids[0, -size:], self.marker_ids)


model, tok = llmcourse.load()
marker = torch.tensor(tok.encode("[/SENTENCE]", add_special_tokens=False))
prompt = """[SENTENCE]The sun is hot.[/SENTENCE]
[SENTENCE]The sea is blue.[/SENTENCE]
[SENTENCE]The grass is"""
inputs = tok(prompt, return_tensors="pt")
made = model.generate(
    **inputs,
    max_new_tokens=32,
    do_sample=False,
    stopping_criteria=StoppingCriteriaList([MarkerCriteria(marker)]),
)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :]))
