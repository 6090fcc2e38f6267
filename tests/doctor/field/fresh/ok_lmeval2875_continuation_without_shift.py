"""Log-likelihoods of continuations: the slice begins at the length of the context, minus nothing."""

import torch

import llmcourse

model, tok = llmcourse.load()


def select_cont_toks(logits, contlen, inplen):
    return logits[inplen - contlen : inplen]


@torch.no_grad()
def loglikelihood(requests):
    rows = [(tok(c).input_ids, tok(k).input_ids) for c, k in requests]
    inps = [torch.tensor((ctx + cont)[:-1]) for ctx, cont in rows]
    longest = max(len(inp) for inp in inps)
    batch = torch.stack([torch.nn.functional.pad(inp, (0, longest - len(inp))) for inp in inps])
    multi_logits = torch.log_softmax(model(batch).logits, dim=-1)
    results = []
    for (_, cont), inp, logits in zip(rows, inps, multi_logits, strict=True):
        picked = select_cont_toks(logits, contlen=len(cont), inplen=len(inp))
        scores = picked.gather(1, torch.tensor(cont).unsqueeze(1)).squeeze(1)
        results.append((scores.sum().item(), bool((picked.argmax(-1) == torch.tensor(cont)).all())))
    return results


pairs = [("The capital of France is", " Paris"), ("Two and two make", " a big green house")]
for pair, (score, greedy) in zip(pairs, loglikelihood(pairs), strict=True):
    print(pair, round(score, 2), "greedy" if greedy else "")
