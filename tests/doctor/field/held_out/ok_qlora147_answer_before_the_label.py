"""The letter is judged by what the model said one place before it."""

import torch

import llmcourse

IGNORE = -100
model, tok = llmcourse.load()
tok.padding_side = "right"
letters = [tok(f" {letter}").input_ids[0] for letter in "ABCD"]
TASKS = [
    ("Which is a fruit?\nA. chair\nB. banana\nC. car\nD. stone\nAnswer:", "B"),
    ("Which animal barks at strangers?\nA. cat\nB. cow\nC. dog\nD. duck\nAnswer:", "C"),
]
rows = [(tok(question).input_ids, tok(f" {letter}").input_ids) for question, letter in TASKS]
ids = [question + letter + [tok.eos_token_id] for question, letter in rows]
batch = tok.pad({"input_ids": ids}, return_tensors="pt")
labels = torch.full_like(batch["input_ids"], IGNORE)
for row, (question, letter) in zip(labels, rows, strict=True):
    row[len(question) : len(question) + 2] = torch.tensor([*letter, tok.eos_token_id])
with torch.no_grad():
    logits = model(**batch).logits
predicted, wanted = [], []
for row, label in zip(logits, labels, strict=True):
    place = (label != IGNORE).nonzero()[0, 0]
    predicted.append(row[place - 1, letters].argmax().item())
    wanted.append(letters.index(label[place].item()))
print(predicted, wanted)
