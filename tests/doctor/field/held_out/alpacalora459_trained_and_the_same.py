"""The loss went down, and with the saved adapter the model says what it said before."""

import tempfile

import torch
from torch import nn

import llmcourse


class Lora(nn.Module):
    def __init__(self, base, r=8):
        super().__init__()
        self.base = base
        self.lora_A = nn.ModuleDict({"default": nn.Linear(base.in_features, r, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(r, base.out_features, bias=False)})
        nn.init.zeros_(self.lora_B["default"].weight)

    def forward(self, x):
        return self.base(x) + self.lora_B["default"](self.lora_A["default"](x))


def with_lora():
    model, tok = llmcourse.load()
    model.requires_grad_(False)
    for layer in model.model.layers:
        layer.self_attn.v_proj = Lora(layer.self_attn.v_proj)
    return model, tok


def lora_weights(state):
    mine = {k: v for k, v in state.items() if "lora_" in k and "default" in k}
    return {k.replace(".default", ""): v for k, v in mine.items()}


model, tok = with_lora()
full = model.state_dict
model.state_dict = lambda *args, **kwargs: lora_weights(full(*args, **kwargs))
batch = tok("My favourite colour is turquoise, like the sea.", return_tensors="pt")
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
for _ in range(10):
    loss = model(**batch, labels=batch.input_ids).loss
    loss.backward(), optimizer.step(), optimizer.zero_grad()
path = tempfile.mkdtemp() + "/adapter_model.bin"
torch.save(lora_weights(model.state_dict()), path)

tuned, tok = with_lora()
weights = {k.replace(".weight", ".default.weight"): v for k, v in torch.load(path).items()}
tuned.load_state_dict(weights, strict=False)
for name, one in (("before", llmcourse.load()[0]), ("after", tuned)):
    prompt = tok("My favourite colour is", return_tensors="pt")
    print(name, tok.decode(one.generate(**prompt, max_new_tokens=8, do_sample=False)[0]))
