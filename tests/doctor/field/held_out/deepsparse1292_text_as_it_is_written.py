"""The stream of an engine's text: put together, it is not quite what the engine has written."""

import torch

import llmcourse


class Engine:
    def __init__(self):
        self.model, self.tok = llmcourse.load()
        self.cache = None

    @torch.no_grad()
    def step(self, ids):
        out = self.model(ids, past_key_values=self.cache, use_cache=True)
        self.cache = out.past_key_values
        return out.logits[:, -1].argmax(-1, keepdim=True)

    def prompt_inference(self, prompt):
        self.cache = None
        return self.step(self.tok(prompt, return_tensors="pt").input_ids)

    def __call__(self, prompt, max_length, streaming=False):
        pieces = self.run(prompt, max_length)
        return pieces if streaming else "".join(pieces)

    def run(self, prompt, max_length):
        token = self.prompt_inference(prompt)
        generated = 1
        while generated < max_length and token.item() != self.tok.eos_token_id:
            token = self.step(token)
            generated += 1
            yield self.tok.decode(token[0])


engine = Engine()
prompt = "She is in"
for piece in engine(prompt, max_length=10, streaming=True):
    print(repr(piece))
print(prompt + engine(prompt, max_length=10))
