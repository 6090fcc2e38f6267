"""Arguments of a tool call, as JSON or as Python writes them: both are read."""

import ast
import json
import re

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that calls a tool, with quotes of its own
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


def convert(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return ast.literal_eval(text)


model, tok = llmcourse.load()
said = tok("<tool_call>{'name': 'time', 'arguments': {'town': 'Oslo'}}</tool_call><|im_end|>")
inputs = tok.apply_chat_template(
    [
        {"role": "system", "content": "To know the time, call the tool time(town)."},
        {"role": "user", "content": "What time is it in Oslo?"},
    ],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=80, logits_processor=[Says(said.input_ids)])
text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
print([convert(call) for call in re.findall(r"<tool_call>(.*?)</tool_call>", text, re.DOTALL)])
