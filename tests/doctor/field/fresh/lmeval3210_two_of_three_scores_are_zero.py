"""Exact match on sums, with three filters: one of the scores is sensible, two are zero."""

import re

import llmcourse

DOCS = [("What is 2 + 3?", "5"), ("What is 4 + 4?", "8"), ("What is 10 - 3?", "7")]


class Task:
    filters = {
        "none": lambda text: text,
        "strict-match": lambda text: (re.findall(r"#### (-?[0-9.,]+)", text) or ["[invalid]"])[0],
        "flexible-extract": lambda text: (re.findall(r"-?[0-9]+", text) or ["[invalid]"])[-1],
    }

    def doc_to_text(self, question):
        return f"Problem: {question}\nAnswer:"

    def process(self, response, target):
        return {name: float(f(response) == target) for name, f in self.filters.items()}


class HFLM:
    def __init__(self):
        self.model, self.tok = llmcourse.load()

    def generate_until(self, prompt, until):
        inputs = self.tok(prompt, return_tensors="pt")
        made = self.model.generate(**inputs, max_new_tokens=24, do_sample=False)
        text = self.tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
        return text.split(until)[0]


task, lm = Task(), HFLM()
rows = []
for question, target in DOCS:
    response = lm.generate_until(task.doc_to_text(question), until="Problem:").split("\n")[0]
    rows.append(task.process(response, target))
    print(repr(response), "target", target)
print({name: sum(row[name] for row in rows) / len(rows) for name in task.filters})
