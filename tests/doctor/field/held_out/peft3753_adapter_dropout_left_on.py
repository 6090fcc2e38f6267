"""The model is in eval mode, an adapter was put into it, and greedy texts differ."""

import torch

import llmcourse


class Adapter(torch.nn.Module):
    def __init__(self, layer, rank=8):
        super().__init__()
        self.layer, self.dropout = layer, torch.nn.Dropout(0.5)
        self.down = torch.nn.Linear(layer.in_features, rank, bias=False)
        self.up = torch.nn.Linear(rank, layer.out_features, bias=False)

    def forward(self, x):
        return self.layer(x) + self.up(self.down(self.dropout(x)))


model, tok = llmcourse.load()
model.eval()
for block in model.model.layers[::4]:
    block.mlp.down_proj = Adapter(block.mlp.down_proj)
inputs = tok("The best thing about the sea is", return_tensors="pt")
for _ in range(2):
    print(tok.decode(model.generate(**inputs, max_new_tokens=10)[0]))
