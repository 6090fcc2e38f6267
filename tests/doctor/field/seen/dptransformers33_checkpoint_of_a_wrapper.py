"""A model after private training, saved by its trainer: loaded again it writes garbled words."""

import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM

import llmcourse


class GradSampleModule(nn.Module):  # the wrapper that clips each sample's gradient
    def __init__(self, module):
        super().__init__()
        self._module = module

    def forward(self, **inputs):
        return self._module(**inputs)


def save_checkpoint(wrapped, folder):
    state = {k: v.to(torch.bfloat16).clone() for k, v in wrapped.state_dict().items()}
    save_file(state, Path(folder) / "model.safetensors", metadata={"format": "pt"})
    wrapped._module.config.save_pretrained(folder)


def write(model, tok, text):
    inputs = tok(text, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=10, do_sample=False)
    return tok.decode(made[0], skip_special_tokens=True)


model, tok = llmcourse.load()
trained = GradSampleModule(model)
with tempfile.TemporaryDirectory() as folder:
    save_checkpoint(trained, folder)
    again = AutoModelForCausalLM.from_pretrained(folder)
print("trained:", write(trained._module, tok, "The capital of France is"))
print("loaded: ", write(again, tok, "The capital of France is"))
