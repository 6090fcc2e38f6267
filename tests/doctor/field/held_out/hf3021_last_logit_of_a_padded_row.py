"""Variable lengths in one batch: the next word of the short row is predicted after its padding."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "right"
texts = ["I like", "In summer, the people of the village like"]
inputs = tok(texts, padding=True, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits
print([tok.decode(row.argmax()) for row in logits[:, -1]])
