"""Two accuracies of one task: by the sum, and by the sum for each byte of the choice."""

import torch

import llmcourse

model, tok = llmcourse.load()
TASKS = [
    ("Q: What is Oslo?\nA: Oslo is", [" a town", " the capital and the largest city of Norway"], 1),
    ("Q: Is snow warm or cold?\nA: Snow is", [" warm", " cold"], 1),
]


@torch.no_grad()
def log_likelihood(context, continuation):
    whole = tok(context + continuation).input_ids
    start = len(tok(context).input_ids)
    logits = model(torch.tensor([whole])).logits[0, start - 1 : -1]
    logps = logits.float().log_softmax(-1)
    return logps[range(len(whole) - start), whole[start:]].sum()


acc, acc_norm = [], []
for context, choices, right in TASKS:
    sums = torch.stack([log_likelihood(context, choice) for choice in choices])
    size = torch.tensor([len(choice.encode()) for choice in choices])
    acc.append(float(sums.argmax() == right))
    acc_norm.append(float((sums / size).argmax() == right))
print("acc:", sum(acc) / len(acc), "acc_norm:", sum(acc_norm) / len(acc_norm))
