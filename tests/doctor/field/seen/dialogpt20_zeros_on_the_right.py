"""A batch filled with zeros on the right: the results are far worse than one by one."""

import torch

import llmcourse

model, tok = llmcourse.load()
rows = [tok(text).input_ids for text in ("How are you?", "Does money buy happiness, or not?")]
width = max(len(row) for row in rows)
ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
made = model.generate(ids, max_new_tokens=12)
for row in made:
    print(tok.decode(row[width:], skip_special_tokens=True))
