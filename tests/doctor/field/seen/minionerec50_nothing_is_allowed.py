"""The list of allowed tokens is empty after an unexpected one."""

import llmcourse

model, tok = llmcourse.load()
items = {"": [" river", " lake"], " river": [" bank"]}
starts = {tuple(tok(k).input_ids): [tok(v).input_ids[0] for v in vs] for k, vs in items.items()}
inputs = tok("Recommend:", return_tensors="pt")
length = inputs.input_ids.shape[1]


def allowed(batch_id, ids):
    return starts.get(tuple(ids[length:].tolist()), [])


made = model.generate(**inputs, prefix_allowed_tokens_fn=allowed, max_new_tokens=6)
print(tok.decode(made[0]))
