"""A check: greedy texts in a left-padded batch are those one by one."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template, tok.padding_side = None, "left"
texts = ["The cat", "Far away, beyond the mountains, the cat"]
batch = tok(texts, padding=True, return_tensors="pt")
together = model.generate(**batch, max_new_tokens=10)[:, -10:]
for text, row in zip(texts, together, strict=True):
    alone = model.generate(**tok(text, return_tensors="pt"), max_new_tokens=10)[0, -10:]
    print(tok.decode(alone) == tok.decode(row), tok.decode(row))
