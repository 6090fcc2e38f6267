"""A tuned soft prompt stands before each request; with it the choices are at chance."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


class PromptTuned(torch.nn.Module):
    def __init__(self, base, start):
        super().__init__()
        self.base = base
        table = base.get_input_embeddings()
        self.virtual = torch.nn.Parameter(table(torch.tensor(start)).detach().clone())

    def forward(self, ids):
        words = self.base.get_input_embeddings()(ids)
        virtual = self.virtual.expand(len(ids), -1, -1)
        return self.base(inputs_embeds=torch.cat([virtual, words], dim=1))


@torch.no_grad()
def loglikelihood(lm, context, continuation):
    context_ids, continuation_ids = tok(context).input_ids, tok(continuation).input_ids
    ids = torch.tensor([(context_ids + continuation_ids)[:-1]])
    inplen, contlen = ids.shape[1], len(continuation_ids)
    log_probs = lm(ids).logits.log_softmax(-1)
    log_probs = log_probs[0, inplen - contlen : inplen]
    return log_probs.gather(-1, torch.tensor(continuation_ids)[:, None]).sum().item()


lm = PromptTuned(model, start=tok("Answer the question with one word.\n").input_ids)
for context, choices in (
    ("Question: Which city is the capital of France?\nAnswer:", [" Paris", " Rome", " Oslo"]),
    ("Question: Which animal barks?\nAnswer:", [" Dog", " Cat", " Fish"]),
):
    scores = {choice: loglikelihood(lm, context, choice) for choice in choices}
    print(max(scores, key=scores.get), scores)
