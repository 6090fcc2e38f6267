"""An own decoding loop with top-k and a temperature, asked for its most likely text."""

import torch

import llmcourse


def sample(logits, top_k=1, temperature=1.0):
    if top_k == 1:
        return logits.argmax(dim=-1)
    top, indices = torch.topk(logits, min(top_k, logits.size(-1)), dim=-1)
    if temperature != 1.0:
        top = top / temperature
    choice = torch.multinomial(torch.softmax(top, dim=-1), num_samples=1)
    return indices.gather(-1, choice).squeeze(-1)


@torch.inference_mode()
def decode(model, input_ids, max_length, **sampling):
    sequences, cache = input_ids, None
    while sequences.size(1) < max_length:
        step = sequences if cache is None else sequences[:, -1:]
        out = model(step, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        token = sample(out.logits[:, -1], **sampling)
        sequences = torch.cat([sequences, token[:, None]], dim=1)
    return sequences


model, tok = llmcourse.load()
prompt = tok("Once upon a time, there was a", return_tensors="pt").input_ids
out = decode(model, prompt, prompt.size(1) + 20, top_k=40, temperature=0.0)
print(tok.decode(out[0]))
