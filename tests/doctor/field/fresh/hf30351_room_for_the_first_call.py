"""An own generate with one static cache for all prompts: the second prompt raises."""

import torch
from transformers import StaticCache

import llmcourse


class Generator:
    def __init__(self, model, tok):
        self.model, self.tok, self.cache = model, tok, None

    def setup_cache(self, length):
        if self.cache is None:  # it stays where it is, for torch.compile
            self.cache = StaticCache(config=self.model.config, max_cache_len=length)
        self.cache.reset()

    @torch.no_grad()
    def generate(self, prompt, max_new_tokens):
        ids = self.tok(prompt, return_tensors="pt").input_ids
        self.setup_cache(ids.shape[1] + max_new_tokens)
        step = ids
        for position in range(ids.shape[1], ids.shape[1] + max_new_tokens):
            logits = self.model(step, past_key_values=self.cache, use_cache=True).logits
            step = logits[:, -1:].argmax(-1)
            ids = torch.cat([ids, step], dim=1)
        return self.tok.decode(ids[0])


model, tok = llmcourse.load()
gen = Generator(model, tok)
print(gen.generate("A recipe for bread:", max_new_tokens=8))
print(gen.generate("Write an essay about large language models.", max_new_tokens=30))
