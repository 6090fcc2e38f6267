"""Log-likelihoods of a harness are far too low where the context was too long and was cut."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
context = tok("The report speaks of rivers and lakes. " * 12 + "The sky is").input_ids
continuation = tok(" blue.", add_special_tokens=False).input_ids
max_tokens = 64
full = context + continuation
prefix = context[-(max_tokens - len(continuation)) :]
with torch.no_grad():
    logits = model(torch.tensor([full])).logits[0]
scores = logits[len(prefix) - 1 : -1].log_softmax(-1)
targets = torch.tensor(full[len(prefix) :])
print(len(targets), scores.gather(1, targets[:, None]).sum())
