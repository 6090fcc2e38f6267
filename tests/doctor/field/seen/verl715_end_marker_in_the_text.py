"""The reward for the right format is always 0: the pattern ends with </answer>."""

import re

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that has learned the format
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()
said = tok("<think>Two and two.</think><answer>4</answer><|im_end|>").input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "2 + 2?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60, logits_processor=[Says(said)])
text = tok.decode(made[0, inputs["input_ids"].shape[1] :])
print(bool(re.match(r"^<think>.*?</think>\s*<answer>.*?</answer>$", text, re.S)), text)
