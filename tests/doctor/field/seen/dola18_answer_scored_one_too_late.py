"""A multiple-choice score that prefers the wrong answers."""

import torch

import llmcourse

model, tok = llmcourse.load()
question = tok("Q: What is the capital of Italy?\nA:", return_tensors="pt").input_ids
scores = {}
with torch.no_grad():
    for answer in (" Rome", " Turin", " Paris"):
        continue_ids = tok(answer, return_tensors="pt").input_ids
        ids = torch.cat([question, continue_ids], dim=1)
        logits = model(ids).logits[0, question.shape[1] :].log_softmax(-1)
        scores[answer] = logits[range(len(logits)), continue_ids[0]].sum().item()
print(scores)
