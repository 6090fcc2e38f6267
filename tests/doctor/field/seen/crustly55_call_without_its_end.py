"""No call is found, and half of one is shown to the user."""

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
call = {"name": "write_file", "arguments": {"path": "a.txt", "text": "All rivers run to the sea."}}
said = tok(f"<tool_call>{json.dumps(call)}</tool_call><|im_end|>").input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Write a sentence about rivers into a.txt."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=24, logits_processor=[Says(said)])
text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
calls = re.findall(r"<tool_call>(.*?)</tool_call>", text, re.S)
print([json.loads(found) for found in calls] or text)
