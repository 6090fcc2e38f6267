"""The log-probability of what was generated: why input_len and not input_len - 1?"""

import torch

import llmcourse


def log_probs_from_logits(logits, labels):
    return logits.log_softmax(-1).gather(2, labels.unsqueeze(2)).squeeze(-1)


def sequence_logprob(model, labels, input_len=0):
    with torch.no_grad():
        logits = model(labels).logits
        log_probs = log_probs_from_logits(logits[:, :-1, :], labels[:, 1:])
    return log_probs[:, input_len:].sum().item()


model, tok = llmcourse.load()
ids = tok("In a shocking finding, scientists discovered", return_tensors="pt").input_ids
made = model.generate(ids, max_new_tokens=4)
print(sequence_logprob(model, made, input_len=len(ids[0])), tok.decode(made[0]))
