"""A long prefix is computed once; each question gets a copy of its cache."""

import copy

import torch
from transformers import DynamicCache

import llmcourse

model, tok = llmcourse.load()
prefix = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
cache = DynamicCache(config=model.config)
with torch.no_grad():
    cache = model(**tok(prefix, return_tensors="pt"), past_key_values=cache).past_key_values
for question in ("What is the capital of France?", "What is the capital of Japan?"):
    prompt = prefix + f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    inputs = tok(prompt, return_tensors="pt")
    made = model.generate(**inputs, past_key_values=copy.deepcopy(cache), max_new_tokens=60)
    print(tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True))
