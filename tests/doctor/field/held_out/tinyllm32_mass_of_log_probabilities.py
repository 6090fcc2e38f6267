"""A sampler with top_p=0.9 draws as wildly as one without."""

import torch

import llmcourse


def sample(logits, top_p):
    log_probs = logits.log_softmax(-1)
    ordered, order = log_probs.sort(descending=True)
    keep = ordered.cumsum(-1) < top_p
    keep[..., 0] = True
    kept = torch.where(keep, ordered, float("-inf"))
    log_probs = log_probs.scatter(-1, order, kept)
    return torch.multinomial(log_probs.exp(), 1)


torch.manual_seed(1)
model, tok = llmcourse.load()
inputs = tok("Water boils at a temperature of", return_tensors="pt")
with torch.no_grad():
    out = model(**inputs)
    cache, token, text = out.past_key_values, sample(out.logits[:, -1], 0.9), []
    for _ in range(24):
        text.append(token.item())
        out = model(token, past_key_values=cache)
        cache, token = out.past_key_values, sample(out.logits[:, -1], 0.9)
print(tok.decode(text))
