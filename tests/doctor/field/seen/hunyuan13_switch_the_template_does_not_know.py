"""enable_thinking=False, and it thinks all the same."""

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that thinks unless its prompt says otherwise
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()
said = tok("<think>\nA capital is asked for.\n</think>\n\nOslo.<|im_end|>").input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of Norway?"}],
    add_generation_prompt=True,
    enable_thinking=False,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=200, logits_processor=[Says(said)])
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
