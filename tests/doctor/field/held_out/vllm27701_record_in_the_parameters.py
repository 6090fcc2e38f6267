"""The call of a tool is cut out of the answer by a pattern: its name is gone."""

import json
import re

from transformers import LogitsProcessor

import llmcourse

CALL = {
    "name": "predict_fraud",
    "parameters": {"record": {"months": "19", "insured": {"age": "42", "zip": "0150"}}},
}


class Says(LogitsProcessor):  # a model that calls a tool
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


class JsonToolParser:
    def __init__(self):
        self.tool_call_regex = re.compile(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")

    def extract_tool_calls(self, model_output):
        match = self.tool_call_regex.search(model_output)
        if not match:
            return None
        call = json.loads(match.group(0))
        return {"name": call["name"], "arguments": json.dumps(call["parameters"])}


model, tok = llmcourse.load()
said = tok(json.dumps(CALL) + "<|im_end|>").input_ids
prompt = tok("Is this claim a fraud? Call a tool.\n", return_tensors="pt")
made = model.generate(**prompt, max_new_tokens=len(said), logits_processor=[Says(said)])
answer = tok.decode(made[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
print(answer)
print(JsonToolParser().extract_tool_calls(answer))
