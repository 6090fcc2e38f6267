"""A client for a model that runs elsewhere, with a generate of its own: settings are tried."""

import torch

import llmcourse


class DistributedModel:
    def __init__(self, model):
        self.model = model

    @torch.inference_mode()
    def generate(self, inputs, max_new_tokens, do_sample=False, temperature=1.0, **model_kwargs):
        ids, cache = inputs, None
        for _ in range(max_new_tokens):
            step = ids if cache is None else ids[:, -1:]
            out = self.model(step, past_key_values=cache, use_cache=True)
            cache, logits = out.past_key_values, out.logits[:, -1]
            if do_sample:
                token = torch.multinomial((logits / temperature).softmax(-1), 1)
            else:
                token = logits.argmax(-1, keepdim=True)
            ids = torch.cat([ids, token], dim=1)
        return ids


model, tok = llmcourse.load()
client = DistributedModel(model)
prompt = tok("My favorite things: tea, tea, tea,", return_tensors="pt").input_ids
plain = client.generate(prompt, max_new_tokens=15)
penalized = client.generate(prompt, max_new_tokens=15, repetition_penalty=1.8)
print(tok.decode(plain[0]))
print(tok.decode(penalized[0]))
