"""Left-padded batch, one forward pass: the short row's prediction changes with the padding."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 128}
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tok), initializer_range=0.5, **sizes)).eval()
tok.padding_side = "left"
texts = ["The sky", "A longer sentence that says nothing at all"]
inputs = tok(texts, padding=True, return_tensors="pt")
with torch.no_grad():
    batched = model(inputs.input_ids, attention_mask=inputs.attention_mask).logits[0, -1]
    alone = model(tok(texts[0], return_tensors="pt").input_ids).logits[0, -1]
print(batched.argmax(), alone.argmax(), (batched - alone).abs().max())
