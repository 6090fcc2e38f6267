"""A left-padded batch goes on from its past: the mask is the past's and the new tokens'."""

import torch

import llmcourse

model, tok = llmcourse.load()
start = tok(["The sky is", "In summer the grass is"], padding=True, return_tensors="pt")
more = tok([" blue and", " green and"], return_tensors="pt")
mask = torch.cat([start.attention_mask, more.attention_mask], dim=1)
positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
n = start.input_ids.shape[1]
with torch.no_grad():
    past = model(**start, position_ids=positions[:, :n], use_cache=True).past_key_values
    logits = model(
        more.input_ids,
        attention_mask=mask,
        position_ids=positions[:, n:],
        past_key_values=past,
    ).logits[:, -1]
    alone = model(**tok("The sky is blue and", return_tensors="pt")).logits[0, -1]
print(torch.allclose(logits[0], alone, atol=1e-2), tok.batch_decode(logits.argmax(-1)))
