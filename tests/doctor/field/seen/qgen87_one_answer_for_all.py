"""Answers that are marked off by a token of their own: one long answer comes out."""

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that was trained to list the answers of a text
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()


def extract_answers(text, said):
    inputs = tok(f"extract answers: {text}", return_tensors="pt")
    outs = model.generate(**inputs, max_new_tokens=32, logits_processor=[Says(said)])
    new = outs[:, inputs["input_ids"].shape[1] :]
    dec = [tok.decode(ids, skip_special_tokens=True) for ids in new]
    return [[part.strip() for part in item.split("<file_sep>") if part.strip()] for item in dec]


text = "Marie Curie was born in Warsaw in 1867."
said = tok("Marie Curie<file_sep> Warsaw<file_sep> 1867<file_sep><|im_end|>").input_ids
for answers in extract_answers(text, said):
    print(len(answers), "answers:", answers)
