"""The more is written, the slower each token: all of the text goes in again."""

import torch

import llmcourse

model, tok = llmcourse.load()
input_ids = tok("A long time ago, in a", return_tensors="pt").input_ids
with torch.inference_mode():
    for _ in range(30):
        logits = model(input_ids=input_ids, use_cache=False).logits
        input_ids = torch.cat([input_ids, logits[:, -1:].argmax(-1)], dim=-1)
print(tok.decode(input_ids[0]))
