"""Multiple choice by one forward pass: the letters with the space that they come with."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
inputs = tok("Question: What is 1 + 2?\nA. 3\nB. 4\nAnswer:", return_tensors="pt")
letters = [tok(f" {letter}", add_special_tokens=False).input_ids[0] for letter in "AB"]
with torch.no_grad():
    logits = model(**inputs).logits[0, -1]
print("AB"[logits[letters].argmax()])
