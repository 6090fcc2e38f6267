"""index out of range in self, as soon as two texts of a batch differ in length."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
config = LlamaConfig(vocab_size=len(tok), num_hidden_layers=1, eos_token_id=2, **sizes)
model = LlamaForCausalLM(config).eval()
tok.chat_template, tok.padding_side = None, "left"
tok.add_special_tokens({"pad_token": "<PAD>"})
inputs = tok(["Tell me a joke.", "Rivers run"], padding=True, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=8, pad_token_id=tok.pad_token_id)
print(tok.batch_decode(made))
