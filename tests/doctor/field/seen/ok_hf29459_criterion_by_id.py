"""A stopping criterion on ids, one answer for each row."""

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

import llmcourse


class AtId(StoppingCriteria):
    def __init__(self, ids):
        self.ids = torch.tensor(ids)

    def __call__(self, input_ids, scores, **kwargs):
        return torch.isin(input_ids[:, -1], self.ids)


model, tok = llmcourse.load()
tok.chat_template, tok.padding_side = None, "left"
inputs = tok(["A tree is", "The moon is not"], padding=True, return_tensors="pt")
stops = StoppingCriteriaList([AtId([tok("a.").input_ids[-1], tok("\n").input_ids[-1]])])
made = model.generate(**inputs, max_new_tokens=60, stopping_criteria=stops)
print(tok.batch_decode(made, skip_special_tokens=True))
