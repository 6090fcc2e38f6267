"""Two sentences that differ in their last word: the odd one gets the better score."""

import torch
from torch.nn.functional import log_softmax

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def score(sentence):
    input_ids = tok(sentence, return_tensors="pt").input_ids
    tokens = [tok.decode(i) for i in input_ids[0]]
    logprobs = []
    all_tokens_logprobs = log_softmax(model(input_ids).logits.double(), dim=2)
    for k in range(input_ids.shape[1]):
        logprobs.append(all_tokens_logprobs[0, k, input_ids[0, k]].item())
    return tokens, logprobs


for sentence in (
    "The capital of France is Paris",
    "The capital of France is broccoli",
    "My doctor works at the hospital",
    "My doctor works at the volcano",
):
    tokens, logprobs = score(sentence)
    print(round(sum(logprobs), 2), list(zip(tokens, [round(x, 2) for x in logprobs])))
