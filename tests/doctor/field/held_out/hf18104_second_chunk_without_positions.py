"""The text in two pieces with the cache: the padded row's logits are not those of the whole."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 128}
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tok), initializer_range=0.5, **sizes)).eval()
tok.padding_side = "left"
one = tok(["a b c", "l m n o p q r s t u v w x y"], return_tensors="pt", padding=True)
two = tok([" d", " z"], return_tensors="pt", padding=True)
with torch.no_grad():
    past = model(**one).past_key_values
    mask = torch.cat([one.attention_mask, two.attention_mask], dim=1)
    logits = model(two.input_ids, attention_mask=mask, past_key_values=past).logits
    whole = model(tok("a b c d", return_tensors="pt").input_ids).logits
print((logits[0, -1] - whole[0, -1]).abs().max())
