"""Log-probabilities along the way: each is 0, as if the model were certain of each token."""

import torch
import torch.nn.functional as F

import llmcourse

EMPTY = -1
model, tok = llmcourse.load()


@torch.no_grad()
def generate(prompt, new):
    ids = tok(prompt, return_tensors="pt").input_ids
    start = ids.shape[1]
    tokens = torch.full((1, start + new), EMPTY)
    tokens[:, :start] = ids
    logps = torch.zeros(1, start + new)
    for here in range(start, start + new):
        logits = model(tokens[:, :here]).logits[:, -1]
        logps[:, here] = -F.cross_entropy(
            logits, tokens[:, here], reduction="none", ignore_index=EMPTY
        )
        tokens[:, here] = logits.argmax(-1)
    return tokens[:, start:], logps[:, start:]


tokens, logps = generate("The capital of France is", 10)
print(tok.decode(tokens[0]))
print(logps[0].tolist())
