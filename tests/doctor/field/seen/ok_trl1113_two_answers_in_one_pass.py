"""The better and the worse answer go through the model together: one below the other."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "right"


def encode(question, answers):
    prompt = tok(question).input_ids
    rows = [prompt + tok(answer).input_ids for answer in answers]
    batch = tok.pad({"input_ids": rows}, return_tensors="pt")
    counted = batch["attention_mask"].clone()
    counted[:, : len(prompt)] = 0
    return batch, counted


@torch.no_grad()
def log_probabilities(question, answers):
    batch, counted = encode(question, answers)
    logits = model(**batch).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, batch["input_ids"][:, 1:, None]).squeeze(2)
    return (logps * counted[:, 1:]).sum(-1)


question = "Q: What is the capital of France?\nA:"
chosen, rejected = " Paris.", " I have no idea, and I would rather talk about the weather."
together = log_probabilities(question, [chosen, rejected])
alone = torch.cat([log_probabilities(question, [answer]) for answer in (chosen, rejected)])
print(together.tolist(), alone.tolist())
