"""Expecting value: line 1 column 1 (char 0), and the JSON in the text is flawless."""

import json

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that writes JSON as it would for a reader
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()
said = tok('```json\n{"title": "Rivers", "summary": "They run far."}\n```<|im_end|>').input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Give a title and a summary as JSON: rivers run to the sea."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=100, logits_processor=[Says(said)])
text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
print(json.loads(text))
