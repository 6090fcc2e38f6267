"""Comparing a model with and without its trained adapter: the answers are the same."""

import torch
from torch import nn

import llmcourse


class LoraLinear(nn.Module):
    def __init__(self, inner, a, b, scale):
        super().__init__()
        self.inner, self.a, self.b, self.scale = inner, a, b, scale

    def forward(self, x):
        return self.inner(x) + (x @ self.a.T @ self.b.T) * self.scale


class LoraModel(nn.Module):
    def __init__(self, base_model, rank=4, scale=0.6):
        super().__init__()
        self.base_model = base_model
        torch.manual_seed(0)  # stands for weights from the file of the adapter
        for layer in base_model.model.layers[10:20]:
            proj = layer.mlp.down_proj
            a = torch.randn(rank, proj.in_features) * 0.05
            b = torch.randn(proj.out_features, rank) * 0.05
            layer.mlp.down_proj = LoraLinear(proj, a, b, scale)

    def generate(self, **kwargs):
        return self.base_model.generate(**kwargs)


base_model, tokenizer = llmcourse.load()
peft_model = LoraModel(base_model).eval()
inputs = tokenizer("This film was", return_tensors="pt")
for name, model in (("base", base_model), ("adapter", peft_model)):
    made = model.generate(**inputs, max_new_tokens=16, do_sample=False)
    print(name, repr(tokenizer.decode(made[0], skip_special_tokens=True)))
