"""Padding to the longest of each batch, batches of like lengths."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template, tok.padding_side = None, "left"
texts = ["Snow is", "In the morning the streets of the town were", "Fire is", "At night it was so"]
texts.sort(key=len)
for start in range(0, len(texts), 2):
    inputs = tok(texts[start : start + 2], padding="longest", return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=8)
    print(tok.batch_decode(made, skip_special_tokens=True))
