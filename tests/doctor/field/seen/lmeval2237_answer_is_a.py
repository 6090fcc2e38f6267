"""A task from a template: the log shows that the model answers, and the score is zero."""

import re

import yaml

import llmcourse

TEMPLATE = r"""
doc_to_text: "Question: {question}\nA. {a}\nB. {b}\nAnswer: Let's see. The answer is ("
until: ["\n", "."]
max_gen_toks: 6
filter:
  regex_pattern: r"answer is \(?([AB])\)?"
  fallback: "[invalid]"
"""
DOCS = [
    {"question": "Which animal barks?", "a": "The dog", "b": "The fish", "answer": "A"},
    {"question": "What is frozen water called?", "a": "Ice", "b": "Sand", "answer": "A"},
    {"question": "What do bees make?", "a": "Honey", "b": "Cars", "answer": "A"},
]
model, tok = llmcourse.load()
task = yaml.safe_load(TEMPLATE)
regex = re.compile(task["filter"]["regex_pattern"])
right = 0
for doc in DOCS:
    prompt = task["doc_to_text"].format(**doc)
    ids = tok(prompt, return_tensors="pt")
    made = model.generate(**ids, max_new_tokens=task["max_gen_toks"], do_sample=False)
    reply = "The answer is (" + tok.decode(made[0, ids.input_ids.shape[1] :])
    for stop in task["until"]:
        reply = reply.split(stop)[0]
    found = regex.search(reply)
    extracted = found.group(1) if found else task["filter"]["fallback"]
    right += extracted == doc["answer"]
    print(repr(reply), "->", extracted)
print("exact_match", right / len(DOCS))
