"""In a loop only the first text keeps to the format."""

from transformers import LogitsProcessor

import llmcourse


class Format(LogitsProcessor):
    def __init__(self, ids):
        self.ids, self.place = ids, 0

    def __call__(self, input_ids, scores):
        if self.place < len(self.ids):
            keep = scores[:, self.ids[self.place]].clone()
            scores[:] = -float("inf")
            scores[:, self.ids[self.place]] = keep
            self.place += 1
        return scores


model, tok = llmcourse.load()
form = Format(tok('{"answer": "').input_ids)
for question in ("Capital of Italy?", "Capital of Spain?"):
    inputs = tok(question, return_tensors="pt")
    made = model.generate(**inputs, logits_processor=[form], max_new_tokens=10)
    print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
