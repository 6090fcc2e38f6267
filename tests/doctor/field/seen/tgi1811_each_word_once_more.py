"""A frequency penalty against repetitions: the text falls apart into words of the prompt."""

import torch
from transformers import LogitsProcessor, LogitsProcessorList

import llmcourse


class FrequencyPenalty(LogitsProcessor):
    def __init__(self, penalty):
        self.penalty = penalty

    def __call__(self, input_ids, scores):
        seen = torch.gather(scores, 1, input_ids)
        scaled = torch.where(seen < 0, seen * self.penalty, seen / self.penalty)
        return scores.scatter_add(1, input_ids, -scaled)


model, tok = llmcourse.load()
chat = [{"role": "user", "content": "Tell me a short story about a puppy, a cat and a raccoon."}]
inputs = tok.apply_chat_template(
    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
for penalty in (None, 1.05):
    processors = LogitsProcessorList([FrequencyPenalty(penalty)] if penalty else [])
    made = model.generate(**inputs, max_new_tokens=16, do_sample=False, logits_processor=processors)
    print(penalty, repr(tok.decode(made[0, inputs["input_ids"].shape[1] :])))
