"""A warning about indexing errors, and then the indexing error."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tok), **sizes)).eval()
passage = "The passage says that the river is long. " * 20
inputs = tok("truefalse: yes passage: " + passage, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=16)
print(tok.decode(made[0]))
