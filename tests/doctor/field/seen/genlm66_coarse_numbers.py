"""Next-token weights for a sampler: those of rare words are round numbers."""

import torch

import llmcourse

model, tok = llmcourse.load(dtype="bfloat16")
tok.chat_template = None


class CachedLM:
    def __init__(self, model, tok):
        self.model, self.tok, self.cache = model, tok, {}

    @torch.no_grad()
    def next_token_logprobs(self, text):
        if text not in self.cache:
            ids = self.tok(text, return_tensors="pt").input_ids
            logits = self.model(ids).logits[0, -1]
            self.cache[text] = torch.log_softmax(logits, dim=-1)
        return self.cache[text]

    def weights(self, text, words):
        logprobs = self.next_token_logprobs(text)
        return {word: logprobs[self.tok(word).input_ids[0]].item() for word in words}


lm = CachedLM(model, tok)
words = [" cat", " dog", " bird", " horse", " fish", " rabbit", " goat", " duck", " cow", " sheep"]
for word, weight in lm.weights("For my birthday I would like to have a", words).items():
    print(repr(word), weight)
