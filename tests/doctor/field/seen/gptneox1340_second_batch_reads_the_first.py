"""The first batch of the evaluation is fine; later ones answer something else and get slower."""

import torch
from transformers import DynamicCache

import llmcourse


class Generator:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok
        self.cache = DynamicCache()

    @torch.no_grad()
    def until(self, prompt, end, new):
        step = self.tok(prompt, return_tensors="pt").input_ids
        text = ""
        for _ in range(new):
            out = self.model(step, past_key_values=self.cache, use_cache=True)
            step = out.logits[:, -1].argmax(-1, keepdim=True)
            text += self.tok.decode(step[0])
            if end in text:
                break
        return text.split(end)[0]


generator = Generator(*llmcourse.load())
for country in ("Italy", "France", "Japan"):
    answer = generator.until(f"Q: What is the capital of {country}?\nA:", "\n", 12)
    print(country, repr(answer), generator.cache.get_seq_length())
