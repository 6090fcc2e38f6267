"""The arguments of a call, with words after them: the first JSON value is read, the rest is not."""

import json

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that calls a tool, and goes on to say why
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()
said = tok('<tool_call>{"city": "Oslo"} It rains there.</tool_call><|im_end|>').input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "The weather in Oslo, please."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=100, logits_processor=[Says(said)])
text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
body = text.split("<tool_call>")[1].lstrip()
arguments, _ = json.JSONDecoder().raw_decode(body)
print(arguments)
