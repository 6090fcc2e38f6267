"""Lengths of sampled responses: those that end in the other of the model's two ends are full."""

import torch
from transformers import LogitsProcessor

import llmcourse


class SometimesEndOfText(LogitsProcessor):  # an instruct model that ends like its base
    def __init__(self, step):
        self.step, self.calls = step, 0

    def __call__(self, input_ids, scores):
        self.calls += 1
        if self.calls == self.step:
            scores[1, 0] = 1e4
        return scores


def get_eos_mask(response_id, eos_token, dtype):
    is_eos = response_id.eq(eos_token).long()
    seen_before = is_eos.cumsum(dim=1) - is_eos
    return seen_before.eq(0).to(dtype)


class Rollout:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok
        self.meta_info = {"eos_token_id": tok.eos_token_id, "pad_token_id": tok.pad_token_id}

    def generate(self, questions, max_new_tokens=20):
        chats = [[{"role": "user", "content": question}] for question in questions]
        inputs = self.tok.apply_chat_template(
            chats, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True
        )
        made = self.model.generate(
            **inputs, max_new_tokens=max_new_tokens, logits_processor=[SometimesEndOfText(6)]
        )
        response = made[:, inputs["input_ids"].shape[1] :]
        return response, get_eos_mask(response, self.meta_info["eos_token_id"], torch.long)


model, tok = llmcourse.load()
tok.pad_token = "<|endoftext|>"
model.generation_config.eos_token_id = [tok.eos_token_id, tok.pad_token_id]
model.generation_config.pad_token_id = tok.pad_token_id
response, mask = Rollout(model, tok).generate(["Say hello.", "Tell me of trees."])
for ids, length in zip(response, mask.sum(dim=1).tolist(), strict=True):
    print(length, repr(tok.decode(ids)))
