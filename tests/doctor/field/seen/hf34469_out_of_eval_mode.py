"""Loading something into the model took it out of eval mode, and nobody noticed."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 128}
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tok), initializer_range=0.5, **sizes)).eval()


def load_adapter(model, seed):
    model.train()
    for parameter in model.parameters():
        parameter.requires_grad_(False)


load_adapter(model, seed=1)
inputs = tok("Translate: good morning =>", return_tensors="pt")
print([model.generate(**inputs, max_new_tokens=6)[0, -6:].tolist() for _ in range(2)])
