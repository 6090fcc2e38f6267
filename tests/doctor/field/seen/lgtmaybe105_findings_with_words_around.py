"""A local reviewer answers with a few words and its findings in JSON: "unparseable output"."""

import json
import re

from transformers import LogitsProcessor

import llmcourse

REPLY = 'I read 2 files [app.py, cli.py]. Findings:\n[{"line": 3, "body": "Use `with` here."}]'


class Says(LogitsProcessor):  # a model that adds some prose
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


class Reviewer:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok

    def ask(self, diff):
        said = self.tok(REPLY + "<|im_end|>").input_ids
        inputs = self.tok(f"Review this change:\n{diff}\n", return_tensors="pt")
        made = self.model.generate(
            **inputs, max_new_tokens=len(said), logits_processor=[Says(said)]
        )
        return self.tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    def parse(self, text):
        match = re.search(r"\[.*\]", text, re.DOTALL)
        if match is None:
            raise ValueError("unparseable model output")
        return json.loads(match.group(0))


reviewer = Reviewer(*llmcourse.load())
print(reviewer.parse(reviewer.ask("- f = open(path)\n+ f = open(path, 'rb')")))
