"""A first logits processor: it lowers some scores, and generate fails."""

from transformers import LogitsProcessor

import llmcourse


class Lower(LogitsProcessor):
    def __init__(self, ids, by):
        self.ids, self.by = ids, by

    def __call__(self, input_ids, scores):
        scores[:, self.ids] -= self.by


model, tok = llmcourse.load()
inputs = tok("My favourite colour is", return_tensors="pt")
lower = Lower(tok([" blue"]).input_ids[0], 5.0)
print(tok.decode(model.generate(**inputs, logits_processor=[lower], max_new_tokens=6)[0]))
