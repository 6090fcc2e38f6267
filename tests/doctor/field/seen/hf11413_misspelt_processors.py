"""One's own processors, passed as logit_processors."""

from transformers import LogitsProcessor, LogitsProcessorList

import llmcourse


class Calm(LogitsProcessor):
    def __call__(self, input_ids, scores):
        scores[:, 17] = -float("inf")
        return scores


model, tok = llmcourse.load()
ids = tok("This dog is cute", return_tensors="pt").input_ids
made = model.generate(
    input_ids=ids, logit_processors=LogitsProcessorList([Calm()]), max_new_tokens=8
)
print(tok.decode(made[0]))
