"""Place i's log-probabilities are read at token i + 1: aligned, as the loss confirms."""

import torch

import llmcourse

model, tok = llmcourse.load()
input_ids = torch.tensor(tok.encode("The quick brown fox jumps over the lazy dog.")).unsqueeze(0)
with torch.no_grad():
    loss, logits = model(input_ids, labels=input_ids)[:2]
log_probs = torch.nn.functional.log_softmax(logits, dim=-1)
all_prob = []
for i, token_id in enumerate(input_ids[0][1:]):
    all_prob.append(log_probs[0, i, token_id].item())
print(torch.exp(loss).item(), loss.item(), -sum(all_prob) / len(all_prob))
