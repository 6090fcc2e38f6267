"""A checkpoint of the trainer loads without a complaint, and the model talks nonsense."""

import tempfile
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import llmcourse

trained, tok = llmcourse.load()
checkpoint = Path(tempfile.mkdtemp()) / "epoch=09.ckpt"
weights = {f"model.{name}": weight for name, weight in trained.state_dict().items()}
torch.save({"state_dict": weights}, checkpoint)

model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(trained.name_or_path))
model.load_state_dict(torch.load(checkpoint)["state_dict"], strict=False)
model.eval()
inputs = tok("The capital of France is", return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=12)[0]))
