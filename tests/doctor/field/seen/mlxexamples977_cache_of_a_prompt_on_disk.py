"""The cache of a system prompt is kept, and each chat goes on from it: what it says is garbled."""

import copy

import torch
from transformers import DynamicCache, StaticCache

import llmcourse

model, tok = llmcourse.load()
SIZE = 512


@torch.no_grad()
def cache_prompt(text):
    ids = tok(text, return_tensors="pt").input_ids
    cache = StaticCache(config=model.config, max_cache_len=SIZE)
    model(ids, past_key_values=cache, use_cache=True)
    return [(layer.keys.clone(), layer.values.clone()) for layer in cache.layers]


def restore(saved):
    cache = DynamicCache(config=model.config)
    for layer, (keys, values) in enumerate(saved):
        cache.update(keys, values, layer)
    return cache


@torch.no_grad()
def go_on(saved, text, max_new_tokens=16):
    cache = restore(copy.deepcopy(saved))
    ids = tok(text, return_tensors="pt").input_ids
    new = []
    for _ in range(max_new_tokens):
        out = model(ids, past_key_values=cache, use_cache=True)
        ids = out.logits[:, -1].argmax(-1, keepdim=True)
        new.append(ids.item())
    return tok.decode(new)


saved = cache_prompt("Facts about Oslo: it is the capital of Norway, and its name was Christiania.")
print(go_on(saved, " Today Oslo is the capital of"))
