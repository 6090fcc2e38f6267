"""A text that is too long is cut at its beginning, with room for what is to come."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
tok.chat_template, tok.truncation_side = None, "left"
sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
ids = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 2}
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tok), **sizes, **ids)).eval()
text = "The report goes on and on about rivers. " * 30
inputs = tok(text, truncation=True, max_length=48, return_tensors="pt")
made = model.generate(**inputs, do_sample=True, top_k=50, max_new_tokens=64 - 48)
print(made.shape)
