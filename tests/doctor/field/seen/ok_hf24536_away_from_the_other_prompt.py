"""Guidance: away from what the model would say to another prompt, with a processor of our own."""

import torch
from transformers import LogitsProcessor, LogitsProcessorList

import llmcourse

model, tok = llmcourse.load()


class CFGLogits(LogitsProcessor):
    def __init__(self, guidance_scale, uncond, model, prompt_length):
        self.guidance_scale, self.uncond = guidance_scale, uncond
        self.model, self.prompt_length = model, prompt_length

    @torch.no_grad()
    def __call__(self, input_ids, scores):
        scores = scores.log_softmax(-1)
        if self.guidance_scale == 1:
            return scores
        uncond = self.uncond.expand(len(input_ids), -1)
        ids = torch.cat([uncond, input_ids[:, self.prompt_length :]], dim=1)
        unconditional = self.model(ids).logits[:, -1].log_softmax(-1)
        return self.guidance_scale * (scores - unconditional) + unconditional


def encode(system, user):
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )


question = "What do you think of rain?"
inputs = encode("You are very sad.", question)
negative = encode("You are a helpful assistant.", question)
length = inputs["input_ids"].shape[1]
for scale in (1, 2.5):
    cfg = CFGLogits(scale, negative["input_ids"], model, length)
    made = model.generate(
        **inputs,
        max_new_tokens=14,
        do_sample=False,
        logits_processor=LogitsProcessorList([cfg]),
    )
    print(scale, tok.decode(made[0, length:], skip_special_tokens=True))
