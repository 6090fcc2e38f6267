"""With the past, a mask for the new tokens alone: other candidates than in one go."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "left"
start = tok(["I like cats", "I like"], return_tensors="pt", padding=True)
more = tok([" that are", " dogs that"], return_tensors="pt", padding=True)
with torch.no_grad():
    past = model(**start).past_key_values
    now = model(more.input_ids, attention_mask=more.attention_mask, past_key_values=past).logits[
        :, -1
    ]
    whole = tok(["I like cats that are", "I like dogs that"], return_tensors="pt", padding=True)
    then = model(**whole).logits[:, -1]
print(now.topk(3).indices.tolist(), then.topk(3).indices.tolist())
