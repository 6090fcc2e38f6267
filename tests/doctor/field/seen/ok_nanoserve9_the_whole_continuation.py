"""A loop that keeps no cache and takes the largest logit each time, held against generate."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


def greedy_generate(model, ids, max_new_tokens, eos_id=None):
    if ids.dim() != 1:
        raise ValueError("one sequence at a time")
    with torch.inference_mode():
        for _ in range(max_new_tokens):
            logits = model(ids[None], use_cache=False).logits[0, -1]
            token = logits.argmax(dim=-1, keepdim=True)
            ids = torch.cat([ids, token])
            if eos_id is not None and token.item() == eos_id:
                break
    return ids


prompt = tok("The test of a", return_tensors="pt").input_ids[0]
mine = greedy_generate(model, prompt, 20, eos_id=tok.eos_token_id)
theirs = model.generate(
    prompt[None], attention_mask=torch.ones_like(prompt[None]), do_sample=False, max_new_tokens=20
)[0]
print(tok.decode(mine))
print(torch.equal(mine, theirs))
