"""Temperatures below zero, and the score says that all of them are wrong."""

import re

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
SHOTS = """Question: It is 4 degrees and gets 6 degrees colder. How warm is it?
Answer: 4 - 6 = -2
#### -2

Question: It is 1 degree and gets 5 degrees colder. How warm is it?
Answer: 1 - 5 = -4
#### -4

Question: {question}
Answer:"""


def number_of(text):
    found = re.search(r"####\s*(\d+(?:\.\d+)?)", text)
    if found:
        return float(found.group(1))
    numbers = re.findall(r"\d+(?:\.\d+)?", text)
    return float(numbers[-1]) if numbers else None


def error(question, reference):
    inputs = tok(SHOTS.format(question=question), return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=20, do_sample=False)
    text = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    answer = text.split("\n\n")[0]
    print(repr(answer), number_of(answer), "expected", reference)
    return 0.0 if number_of(answer) == reference else 1.0


for degrees, colder in ((4, 5), (0, 7)):
    question = f"It is {degrees} degrees and gets {colder} degrees colder. How warm is it?"
    print(error(question, float(degrees - colder)))
