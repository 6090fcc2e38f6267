"""A logits processor that returns what it changed."""

from transformers import LogitsProcessor, LogitsProcessorList

import llmcourse


class Lower(LogitsProcessor):
    def __init__(self, ids, by):
        self.ids, self.by = ids, by

    def __call__(self, input_ids, scores):
        lowered = scores.clone()
        lowered[:, self.ids] -= self.by
        return lowered


model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
fewer_commas = LogitsProcessorList([Lower(tok(",").input_ids, 3.0)])
made = model.generate(**inputs, logits_processor=fewer_commas, max_new_tokens=80)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
