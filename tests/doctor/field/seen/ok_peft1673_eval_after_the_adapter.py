"""Dropout in an adapter, and eval() after it was put in: nothing is dropped."""

import torch

import llmcourse


class Adapter(torch.nn.Module):
    def __init__(self, layer, rank=4):
        super().__init__()
        self.layer, self.dropout = layer, torch.nn.Dropout(0.1)
        self.down = torch.nn.Linear(layer.in_features, rank, bias=False)
        self.up = torch.nn.Linear(rank, layer.out_features, bias=False)
        torch.nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.layer(x) + self.up(self.down(self.dropout(x)))


model, tok = llmcourse.load()
for block in model.model.layers[::10]:
    block.mlp.down_proj = Adapter(block.mlp.down_proj)
model.eval()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
