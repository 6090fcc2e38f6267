"""Scores of a continuation whose last token never goes into the model."""

import torch

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def score(context, continuation):
    context_enc = tok(context).input_ids
    continuation_enc = tok(continuation).input_ids
    inp = torch.tensor(context_enc + continuation_enc, dtype=torch.long)[:-1]
    inplen, contlen = inp.shape[0], len(continuation_enc)
    logits = torch.log_softmax(model(inp.unsqueeze(0)).logits[0], dim=-1)
    cont_logits = logits[inplen - contlen : inplen]
    cont_toks = torch.tensor(continuation_enc).unsqueeze(-1)
    return cont_logits.gather(-1, cont_toks).squeeze(-1).sum().item()


for continuation in (" a bright blue.", " a wooden chair."):
    print(repr(continuation), score("On a clear day the sky is", continuation))
