"""Only the forty likeliest tokens are left, and what comes out is from everywhere."""

import torch

import llmcourse


def top_k_logits(logits, k):
    best, _ = torch.topk(logits, k)
    out = logits.clone()
    out[out < best[:, [-1]]] = 1e-10
    return out


@torch.no_grad()
def sample(model, x, steps, temperature=1.0, top_k=40):
    model.eval()
    for _ in range(steps):
        logits = model(x).logits[:, -1, :] / temperature
        probs = top_k_logits(logits, top_k).softmax(dim=-1)
        x = torch.cat((x, torch.multinomial(probs, num_samples=1)), dim=1)
    return x


torch.manual_seed(1)
model, tok = llmcourse.load()
x = tok("Once upon a time, there was a", return_tensors="pt").input_ids
print(tok.decode(sample(model, x, 20, temperature=1.5)[0]))
