"""The value of a step in a tree search: the log-probability of a good rating after it."""

import torch

import llmcourse

model, tok = llmcourse.load()
GOOD, BAD = " good", " bad"


def robust_softmax(logits):
    log_probs = torch.log_softmax(logits, dim=-1)
    return log_probs.exp(), log_probs


def value_template(question, step):
    return f"Question: {question}\nStep: {step}\nThis step is"


@torch.no_grad()
def compute_value(question, step):
    text = value_template(question, step) + GOOD
    inputs = tok(text, return_tensors="pt")
    logits = model(**inputs).logits[:, -2:-1, :]
    probs, log_probs = robust_softmax(logits)
    return log_probs[:, 0].item()


for step in ("2 + 2 = 4, and 4 * 3 = 12", "2 + 2 = 5, and 5 * 3 = 20"):
    print(step, compute_value("What is (2 + 2) * 3?", step))
