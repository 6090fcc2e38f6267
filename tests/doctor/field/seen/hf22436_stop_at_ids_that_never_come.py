"""A stopping criterion that never stops: in the text the word is tokenized with its space."""

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

import llmcourse


class AtWord(StoppingCriteria):
    def __init__(self, ids):
        self.ids = torch.tensor(ids)

    def __call__(self, input_ids, scores, **kwargs):
        return bool((input_ids[0, -len(self.ids) :] == self.ids).all())


model, tok = llmcourse.load()
inputs = tok("Count: one, two, three, four,", return_tensors="pt")
stop = StoppingCriteriaList([AtWord(tok("seven", add_special_tokens=False).input_ids)])
made = model.generate(**inputs, max_new_tokens=30, stopping_criteria=stop)
print(tok.decode(made[0]))
