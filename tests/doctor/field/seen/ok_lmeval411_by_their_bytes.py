"""Choices of different lengths: the likeliest one, and the likeliest one for its length."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
TASKS = [
    ("To keep milk fresh you", ["put it into the fridge.", "burn it.", "hang it on a tree."], 0),
    ("When it rains, people", ["open an umbrella.", "eat stones.", "plant a car."], 0),
]


@torch.no_grad()
def loglikelihood(context, continuation):
    context_ids = tok(context).input_ids
    ids = tok(context + continuation, return_tensors="pt").input_ids
    assert ids[0, : len(context_ids)].tolist() == context_ids
    log_probs = model(ids).logits[0, :-1].log_softmax(-1)
    chosen = log_probs.gather(-1, ids[0, 1:, None]).squeeze(-1)
    return chosen[len(context_ids) - 1 :].sum().item()


def evaluate(tasks):
    acc = acc_norm = 0
    for context, choices, gold in tasks:
        results = [loglikelihood(context, " " + choice) for choice in choices]
        lengths = [len((" " + choice).encode()) for choice in choices]
        normed = [result / length for result, length in zip(results, lengths)]
        print([round(r, 2) for r in results], [round(n, 3) for n in normed])
        acc += results.index(max(results)) == gold
        acc_norm += normed.index(max(normed)) == gold
    return {"acc": acc / len(tasks), "acc_norm": acc_norm / len(tasks)}


print(evaluate(TASKS))
