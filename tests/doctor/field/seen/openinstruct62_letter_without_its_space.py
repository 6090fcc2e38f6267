"""Multiple choice: the probabilities of the letters add up to next to nothing."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
shot = "Question: What is 2 + 2?\nA. 4\nB. 5\nAnswer: A\n\n"
prompt = f"{shot}Question: What is 1 + 2?\nA. 7\nB. 3\nAnswer:"
inputs = tok(prompt, return_tensors="pt")
letters = [tok(letter, add_special_tokens=False).input_ids[0] for letter in ("A", "B")]
with torch.no_grad():
    probabilities = model(**inputs).logits[0, -1].softmax(-1)
print(probabilities[letters].sum(), "AB"[probabilities[letters].argmax()])
