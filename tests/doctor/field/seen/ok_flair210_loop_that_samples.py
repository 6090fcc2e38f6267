"""A sampling loop by hand: no gradients, temperature, and one seed."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
torch.manual_seed(3)
ids = tok("Once upon a time", return_tensors="pt").input_ids
step, cache = ids, None
with torch.no_grad():
    for _ in range(20):
        out = model(step, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        step = torch.multinomial((out.logits[:, -1] / 0.8).softmax(-1), 1)
        ids = torch.cat([ids, step], dim=1)
print(tok.decode(ids[0]))
