"""Beam search by hand: without the cache the text is fine, with it the beams get mixed up."""

import torch

import llmcourse

model, tok = llmcourse.load()
beams, prompt = 4, tok("A short history of bread:", return_tensors="pt").input_ids
with torch.no_grad():
    out = model(prompt.repeat(beams, 1), use_cache=True)
    scores, tokens = out.logits[0, -1].log_softmax(-1).topk(beams)
    ids = torch.cat([prompt.repeat(beams, 1), tokens[:, None]], dim=1)
    for _ in range(20):
        out = model(ids[:, -1:], past_key_values=out.past_key_values, use_cache=True)
        log_probs = out.logits[:, -1].log_softmax(-1) + scores[:, None]
        scores, best = log_probs.flatten().topk(beams)
        parent, token = best // log_probs.shape[1], best % log_probs.shape[1]
        ids = torch.cat([ids[parent], token[:, None]], dim=1)
print(tok.decode(ids[0, prompt.shape[1] :]))
