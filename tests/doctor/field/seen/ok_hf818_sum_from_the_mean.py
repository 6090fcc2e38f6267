"""The loss is a mean over the predicted tokens: times their number, it is the sum."""

import torch

import llmcourse

model, tok = llmcourse.load()
input_ids = torch.tensor(tok.encode("Hello, my dog is cute")).unsqueeze(0)
with torch.no_grad():
    loss, logits = model(input_ids, labels=input_ids)[:2]
log_probability = -loss.item() * (input_ids.shape[1] - 1)
tokens = logits[:, :-1].log_softmax(-1).gather(2, input_ids[:, 1:, None])
print(log_probability, tokens.sum().item())
