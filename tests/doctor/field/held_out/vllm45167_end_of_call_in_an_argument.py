"""A call of a tool is dropped without a word, now and then: its argument quotes a document."""

import json
import re

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that calls a tool, token by token
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()
call = {"name": "search", "arguments": {"query": "what does </tool_call> mean"}}
said = tok(f"<tool_call>{json.dumps(call)}</tool_call><|im_end|>").input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Look up what the tag </tool_call> means."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=80, logits_processor=[Says(said)])
text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
calls = []
for found in re.findall(r"<tool_call>(.*?)</tool_call>", text, re.S):
    try:
        calls.append(json.loads(found))
    except json.JSONDecodeError:
        continue
print(calls or text)
