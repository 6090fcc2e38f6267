"""Three ways to find the letter of an answer, one after the other: the third always finds one."""

import re

from transformers import pipeline

import llmcourse

QUESTIONS = [
    ("What is the capital of Denmark?", ["Oslo", "Copenhagen", "Helsinki", "Riga"], "B"),
    ("Which planet is the largest?", ["Mars", "Venus", "Earth", "Jupiter"], "D"),
]


def extract_answer(text):
    match = re.search(r"answer is \(?([A-J])\)?", text)
    return match.group(1) if match else extract_again(text)


def extract_again(text):
    match = re.search(r".*[aA]nswer:\s*\(?([A-J])\)?", text)
    return match.group(1) if match else extract_final(text)


def extract_final(text):
    match = re.search(r"[A-J](?=[^A-J]*$)", text, re.DOTALL)
    return match.group(0) if match else None


model, tok = llmcourse.load()
write = pipeline("text-generation", model=model, tokenizer=tok, return_full_text=False)
right = 0
for question, options, gold in QUESTIONS:
    listed = "\n".join(f"({letter}) {text}" for letter, text in zip("ABCD", options, strict=True))
    messages = [{"role": "user", "content": f"{question}\n{listed}"}]
    reply = write(messages, max_new_tokens=30, do_sample=False)[0]["generated_text"]
    predicted = extract_answer(reply)
    right += predicted == gold
    print(repr(reply), "->", predicted)
print("accuracy:", right / len(QUESTIONS))
