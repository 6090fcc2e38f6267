"""How much do two answers to one prompt differ within a batch? The comparison does not get far."""

import torch

import llmcourse

model, tok = llmcourse.load()
torch.manual_seed(0)

batch_size = 2
inputs = tok(["Why is the sky blue?"] * batch_size, return_tensors="pt")
outputs = model.generate(
    inputs, do_sample=True, top_p=0.9, num_return_sequences=2, max_new_tokens=20
)
for row in outputs:
    print(tok.decode(row))
