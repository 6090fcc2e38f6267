"""The same sentence gives another text in a batch than alone: only the ids were passed."""

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "left"
tok.pad_token = "<|endoftext|>"
texts = ["The old man went", "When the rain stopped at last, the children ran out and"]
batch = tok(texts, padding=True, return_tensors="pt")
alone = tok(texts[0], return_tensors="pt")
first = model.generate(batch.input_ids, max_new_tokens=12)[0, -12:]
second = model.generate(alone.input_ids, max_new_tokens=12)[0, -12:]
print(tok.decode(first), "|", tok.decode(second))
