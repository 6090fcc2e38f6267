"""Constrained to three names, it writes the same token over and over."""

import llmcourse

model, tok = llmcourse.load()
names = [tok(name).input_ids for name in (" Anna", " Bernard", " Charlotte")]


def allowed(batch_id, sentence):
    so_far = sentence.tolist()
    nexts = {n[len(so_far)] for n in names if n[: len(so_far)] == so_far and len(n) > len(so_far)}
    return sorted(nexts) or [20]  # something has to be allowed


inputs = tok("The winner is", return_tensors="pt")
made = model.generate(**inputs, prefix_allowed_tokens_fn=allowed, max_new_tokens=8)
print(tok.decode(made[0]))
