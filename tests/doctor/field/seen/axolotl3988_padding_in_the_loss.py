"""The perplexity of a text depends on the other texts of its batch."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template, tok.padding_side = None, "right"
texts = ["The cat sat on the mat.", "Rivers run to the sea, and clouds bring the water back again."]
for batch in (texts[:1], texts):
    inputs = tok(batch, padding=True, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs, labels=inputs.input_ids)
    print(outputs.loss.exp())
