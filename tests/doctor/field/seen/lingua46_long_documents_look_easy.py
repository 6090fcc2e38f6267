"""Long documents have a lower perplexity than short ones with this harness."""

import math

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


class EvalHarnessLM:
    def __init__(self, max_prompt_len=32):
        self.max_prompt_len = max_prompt_len

    @torch.no_grad()
    def log_likelihoods(self, prompts):
        encoded = [tok(prompt).input_ids[-self.max_prompt_len :] for prompt in prompts]
        for ids in encoded:
            ids = torch.tensor([ids])
            log_probs = model(ids).logits[:, :-1].log_softmax(-1)
            yield log_probs.gather(-1, ids[:, 1:, None]).squeeze(-1)

    def loglikelihood_rolling(self, prompts):
        return [float(ll.sum()) for ll in self.log_likelihoods(prompts)]


def perplexities(lm, documents):
    for document, ll in zip(documents, lm.loglikelihood_rolling(documents)):
        length = len(tok(document).input_ids) - 1
        yield length, math.exp(-ll / length)


text = (
    "The old mill stands where the river bends. In spring the meadows around it are flooded, and "
    "storks walk through the shallow water. Nobody has lived there since the miller's daughter "
    "moved to town, but on Sundays people come with baskets and blankets and stay until dark."
)
for length, perplexity in perplexities(EvalHarnessLM(), [text[:120], text]):
    print(length, "tokens", perplexity)
