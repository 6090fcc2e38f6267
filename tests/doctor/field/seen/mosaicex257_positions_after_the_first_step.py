"""Cache and padding together: the short row of the batch goes another way than alone."""

import torch

import llmcourse

model, tok = llmcourse.load()


def positions(mask, past):
    padding = (mask[:, past:] == 0).long().cumsum(1)
    return (torch.arange(past, mask.shape[1]) - padding).clamp(min=0)


@torch.no_grad()
def generate(prompts, new):
    batch = tok(prompts, padding=True, return_tensors="pt")
    step, mask = batch.input_ids, batch.attention_mask
    cache, made = None, []
    for _ in range(new):
        past = mask.shape[1] - step.shape[1]
        out = model(
            step,
            attention_mask=mask,
            position_ids=positions(mask, past),
            past_key_values=cache,
            use_cache=True,
        )
        cache = out.past_key_values
        step = out.logits[:, -1].argmax(-1, keepdim=True)
        mask = torch.cat([mask, torch.ones_like(step)], dim=1)
        made.append(step)
    return tok.batch_decode(torch.cat(made, dim=1))


short = "Once upon a time, there was a"
long = "The committee met on Tuesday " * 12 + "and decided that"
print(generate([short], 16))
print(generate([short, long], 16))
