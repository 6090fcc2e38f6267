"""The log-likelihood of a continuation: its last token is predicted, so it is not fed."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
context = tok("The capital of France").input_ids
for choice in (" is Paris.", " is Rome."):
    continuation = tok(choice, add_special_tokens=False).input_ids
    fed = (context + continuation)[:-1]
    with torch.no_grad():
        logits = model(torch.tensor([fed])).logits[0]
    scores = logits[-len(continuation) :].log_softmax(-1)
    print(choice, scores.gather(1, torch.tensor(continuation)[:, None]).sum().item())
