"""A written function ends in the middle of its first line, and only where it compares something."""

import re

import llmcourse

model, tok = llmcourse.load()
STOP_WORDS = ["\nclass", "\nassert", "\nprint", "\n#", "\n```"]


def first_block(text, stop_words):
    return re.split("|".join(stop_words), text)[0].rstrip()


def write(prompt):
    inputs = tok(prompt, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=30, do_sample=False)
    new = tok.decode(made[0, inputs["input_ids"].shape[1] :])
    return prompt + first_block(new, [*STOP_WORDS, tok.eos_token])


print(write("def biggest(a, b):\n    if a"))
