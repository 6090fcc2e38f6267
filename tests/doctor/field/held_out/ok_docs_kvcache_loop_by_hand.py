"""A loop by hand with cache, growing mask and positions."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template, tok.padding_side = None, "left"
inputs = tok(["The sea", "On a cold day in winter, the sea"], padding=True, return_tensors="pt")
step, mask, cache, new = inputs.input_ids, inputs.attention_mask, None, []
positions = (mask.cumsum(-1) - 1).clamp(min=0)
with torch.no_grad():
    for _ in range(10):
        out = model(
            step, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        cache, step = out.past_key_values, out.logits[:, -1:].argmax(-1)
        mask = torch.cat([mask, mask.new_ones(2, 1)], dim=1)
        positions = positions[:, -1:] + 1
        new.append(step)
print(tok.batch_decode(torch.cat(new, dim=1)))
