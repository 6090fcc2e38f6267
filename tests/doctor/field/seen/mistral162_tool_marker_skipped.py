"""The call of a tool cannot be told from an answer: its marker is gone from the text."""

import json

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that calls a tool, token by token
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()
call = tok('<jupyter_code>{"name": "get_weather"}<|im_end|>', add_special_tokens=False).input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "The weather, please."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=40, logits_processor=[Says(call)])
text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
is_call = text.startswith("<jupyter_code>")
print(text, json.loads(text.removeprefix("<jupyter_code>")) if is_call else "no call found")
