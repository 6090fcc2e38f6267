"""It stops too early: the pieces of the stop word all occur somewhere in the text."""

import torch
from transformers import StoppingCriteria

import llmcourse


class StopWords(StoppingCriteria):
    def __init__(self, tokenizer, word):
        self.ids = torch.tensor(tokenizer(word, add_special_tokens=False).input_ids)

    def __call__(self, input_ids, scores, **kwargs):
        return bool(torch.isin(self.ids, input_ids[0]).all())


model, tok = llmcourse.load()
prompt = "This is unrelated, but ambiguously put. It should be put unambiguously"
inputs = tok(prompt, return_tensors="pt")
made = model.generate(
    **inputs, max_new_tokens=20, stopping_criteria=[StopWords(tok, " unambiguously")]
)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
