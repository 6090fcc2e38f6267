"""A small GPT's generate, ported from another library: it trained well, and writes letter soup."""

import torch
from torch.distributions import Categorical

import llmcourse

BLOCK_SIZE = 256


class Writer:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok

    @torch.no_grad()
    def generate(self, idx, max_new_tokens):
        for _ in range(max_new_tokens):
            idx_cond = idx[:, -BLOCK_SIZE:]
            logits = self.model(idx_cond).logits
            logits = logits[:, -1, :]
            probs = torch.softmax(logits, dim=-1)
            idx_next = Categorical(logits=probs).sample()
            idx = torch.cat([idx, idx_next[:, None]], dim=1)
        return idx

    def write(self, text, max_new_tokens=20):
        idx = self.tok(text, return_tensors="pt").input_ids
        return self.tok.decode(self.generate(idx, max_new_tokens)[0])


torch.manual_seed(1337)
writer = Writer(*llmcourse.load())
print(writer.write("Once upon a time there was a"))
