"""A batch with padding, continued from its cache: other words than without the cache."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


class Decoder:
    def __init__(self, model, tok, prompts):
        self.model = model
        inputs = tok(prompts, padding=True, return_tensors="pt")
        self.ids, self.mask = inputs.input_ids, inputs.attention_mask
        self.position_ids = (self.mask.cumsum(-1) - 1).clamp(min=0)

    @torch.no_grad()
    def cached(self, steps):
        past, fed, mask, positions = None, self.ids, self.mask, self.position_ids
        for _ in range(steps):
            outputs = self.model(
                fed,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=past,
                use_cache=True,
            )
            past = outputs.past_key_values
            fed = outputs.logits[:, -1].argmax(-1, keepdim=True)
            mask = torch.ones_like(fed)
            positions = positions[:, -1:] + 1
            yield fed


prompts = ["The capital of France is", "Rain is good for plants because they need water, and so"]
made = torch.cat(list(Decoder(model, tok, prompts).cached(10)), dim=1)
inputs = tok(prompts, padding=True, return_tensors="pt")
right = model.generate(**inputs, max_new_tokens=10, do_sample=False)
for row, reference in zip(made, right[:, inputs.input_ids.shape[1] :]):
    print(repr(tok.decode(row)), "generate:", repr(tok.decode(reference)))
