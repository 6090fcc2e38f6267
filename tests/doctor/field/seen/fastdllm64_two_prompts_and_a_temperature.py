"""Sampling by top-p works for one prompt; with two of them the loop stops with an error."""

import torch

import llmcourse

model, tok = llmcourse.load()


def sample_with_top_p(logits, top_p=0.95, temperature=1.0):
    probs = torch.softmax(logits / temperature, dim=-1)
    sorted_probs, order = probs.sort(dim=-1, descending=True)
    before = sorted_probs.cumsum(-1) - sorted_probs
    sorted_probs[before > top_p] = 0.0
    probs = torch.zeros_like(probs).scatter(-1, order, sorted_probs)
    probs = probs / probs.sum(-1, keepdim=True)
    token = torch.multinomial(probs[0], num_samples=1).unsqueeze(0)
    return token, probs


@torch.no_grad()
def batch_sample(prompts, max_new_tokens=12, **settings):
    batch = tok(prompts, return_tensors="pt", padding=True)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    finished = torch.zeros(len(prompts), 1, dtype=torch.bool)
    for _ in range(max_new_tokens):
        logits = model(ids, attention_mask=mask).logits[:, -1]
        token, _ = sample_with_top_p(logits, **settings)
        token[finished] = tok.eos_token_id
        finished |= token == tok.eos_token_id
        ids = torch.cat([ids, token], dim=1)
        mask = torch.cat([mask, torch.ones_like(token)], dim=1)
    return tok.batch_decode(ids, skip_special_tokens=True)


print(batch_sample(["The sea is"], temperature=0.8))
print(batch_sample(["The sea is", "My old neighbour was a"], temperature=0.8))
