"""A pad token was added for a batch, and the batch crashes."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tok), **sizes)).eval()
tok.add_special_tokens({"bos_token": "<bos>", "pad_token": "<pad>"})
tok.padding_side = "left"
inputs = tok(["A b", "A much longer text than b"], padding=True, return_tensors="pt")
print(model.generate(**inputs, max_new_tokens=4))
