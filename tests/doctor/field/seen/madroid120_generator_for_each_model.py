"""A server keeps one generator for each model, with its cache: a stranger is called by name."""

import torch
from transformers import DynamicCache

import llmcourse


class ChatGenerator:
    _instances = {}

    def __init__(self, name):
        self.model, self.tok = llmcourse.load(name)
        self.prompt_cache = DynamicCache(config=self.model.config)

    @classmethod
    def get_or_create(cls, name=None):
        if name not in cls._instances:
            cls._instances[name] = cls(name)
        return cls._instances[name]

    @torch.no_grad()
    def generate(self, messages, max_tokens=24):
        ids = self.tok.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )["input_ids"]
        new = []
        for _ in range(max_tokens):
            out = self.model(ids, past_key_values=self.prompt_cache, use_cache=True)
            ids = out.logits[:, -1].argmax(-1, keepdim=True)
            if ids.item() == self.tok.eos_token_id:
                break
            new.append(ids.item())
        return self.tok.decode(new)


def handle(text):
    return ChatGenerator.get_or_create().generate([{"role": "user", "content": text}])


print(handle("Hello, my name is Ottilie and I live in Graz."))
print(handle("What is my name, and where do I live?"))
