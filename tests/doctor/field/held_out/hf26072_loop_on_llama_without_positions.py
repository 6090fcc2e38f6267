"""A loop of one's own in half precision: padded rows drift away from what generate gives."""

import torch

import llmcourse

model, tok = llmcourse.load()
model = model.to(torch.bfloat16)
tok.padding_side = "left"
inputs = tok(["Once", "Once upon a time there was a very small"], padding=True, return_tensors="pt")
ids, mask, cache = inputs.input_ids, inputs.attention_mask, None
with torch.no_grad():
    for _ in range(8):
        step = ids if cache is None else ids[:, -1:]
        out = model(step, attention_mask=mask, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        ids = torch.cat([ids, out.logits[:, -1].argmax(-1, keepdim=True)], dim=1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
print(tok.batch_decode(ids[:, -8:]))
