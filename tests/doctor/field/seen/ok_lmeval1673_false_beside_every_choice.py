"""Scores of five answers, and beside each of them stands False: does none of them count?"""

import torch

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def loglikelihood(context, continuation):
    start = tok(context, return_tensors="pt").input_ids
    whole = tok(context + continuation, return_tensors="pt").input_ids
    made = start.shape[1]
    logits = model(whole).logits[0, made - 1 : -1].float()
    targets = whole[0, made:]
    logprobs = torch.log_softmax(logits, dim=-1)
    is_greedy = bool((logits.argmax(dim=-1) == targets).all())
    return logprobs.gather(1, targets[:, None]).sum().item(), is_greedy


def choose(question, choices):
    resps = [loglikelihood(f"Question: {question}\nAnswer:", f" {c}") for c in choices]
    for choice, resp in zip(choices, resps):
        print(f"{choice:>10}", resp)
    return choices[max(range(len(choices)), key=lambda i: resps[i][0])]


print(choose("What do we see with?", ["shoes", "eyes", "tables", "stones", "hats"]))
