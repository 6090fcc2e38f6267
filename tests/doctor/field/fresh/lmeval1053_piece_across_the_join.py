"""Log-likelihoods of choices for a task in which a word has to be completed."""

import torch

import llmcourse


class Scorer:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok

    def split_pair(self, context, continuation):
        stem = context.rstrip()
        full = self.tok(context + continuation).input_ids
        given = self.tok(stem).input_ids
        return given, full[len(given) :]

    @torch.no_grad()
    def loglikelihood(self, context, continuation):
        given, rest = self.split_pair(context, continuation)
        assert len(rest) > 0
        ids = torch.tensor([(given + rest)[:-1]])
        logps = self.model(ids).logits.log_softmax(-1)[0, -len(rest) :]
        return logps.gather(1, torch.tensor(rest)[:, None]).sum().item()


model, tok = llmcourse.load()
lm = Scorer(model, tok)
for context, choices in [
    ("The opposite of hot is ", ["cold", "green"]),
    ("The capital of France is Par", ["is", "ma"]),
]:
    print(context, {choice: lm.loglikelihood(context, choice) for choice in choices})
