"""With the past the next words are others than without: the mask is of the new token alone."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 128}
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tok), initializer_range=0.5, **sizes)).eval()
inputs = tok(["one two three", "four five six"], return_tensors="pt")
ids, past, mask, text = inputs.input_ids, None, inputs.attention_mask, inputs.input_ids
with torch.no_grad():
    for _ in range(5):
        out = model(ids, attention_mask=mask, past_key_values=past, use_cache=True)
        past, ids = out.past_key_values, out.logits[:, -1:].argmax(-1)
        mask = torch.ones_like(ids)
        print(ids.tolist(), model(text).logits[:, -1:].argmax(-1).tolist())
        text = torch.cat([text, ids], dim=1)
