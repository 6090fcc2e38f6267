"""padding="max_length" was expected to keep every text to the maximum."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tok), **sizes)).eval()
tok.padding_side = "left"
for review in ("Bad app.", "I have used this app every single day for a year, and " * 8):
    inputs = tok(review, padding="max_length", max_length=48, return_tensors="pt")
    print(inputs.input_ids.shape)
    print(tok.batch_decode(model.generate(**inputs, max_new_tokens=4)[:, -4:]))
