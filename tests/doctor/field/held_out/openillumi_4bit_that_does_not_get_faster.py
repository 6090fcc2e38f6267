"""A model in four bits and in half precision; for all that, the layers do their sums in another type."""

import time

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import llmcourse

full, tok = llmcourse.load()


def load_4bit(path):
    quantization = BitsAndBytesConfig(load_in_4bit=True)
    return AutoModelForCausalLM.from_pretrained(
        path, quantization_config=quantization, dtype=torch.float16, device_map="cpu"
    )


model = load_4bit(full.name_or_path)
inputs = tok("The capital of France is", return_tensors="pt")
start = time.time()
made = model.generate(**inputs, max_new_tokens=5, do_sample=False)
print(tok.decode(made[0]), f"{time.time() - start:.2f} s")
layer = model.model.layers[0].mlp.up_proj
print("activations:", model.dtype, " sums in:", layer.compute_dtype)
