"""A parser of tool calls: asked for two towns, the agent looks at one."""

import json
import re

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that calls two tools at once
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


class ToolCallParser:
    START = "<call>"
    PATTERN = re.compile(r"<call>(?P<name>.*)<args>(?P<arguments>.*)</call>", re.DOTALL)

    def parse(self, text):
        if self.START not in text:
            return text, []
        calls = [
            {"name": name.strip(), "arguments": json.loads(arguments)}
            for name, arguments in self.PATTERN.findall(text)
        ]
        return text[: text.find(self.START)], calls


model, tok = llmcourse.load()
said = '<call>weather<args>{"town": "Oslo"}</call><call>weather<args>{"town": "Rome"}</call>'
prompt = [{"role": "user", "content": "How is the weather in Oslo and in Rome?"}]
inputs = tok.apply_chat_template(
    prompt, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
processors = [Says(tok(said + "<|im_end|>").input_ids)]
made = model.generate(**inputs, max_new_tokens=40, logits_processor=processors)
text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
print(text)
print(ToolCallParser().parse(text)[1])
