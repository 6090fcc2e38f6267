"""A small model as a draft for a large one: different tokenizers, says the error."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import llmcourse

target, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
draft = LlamaForCausalLM(LlamaConfig(vocab_size=len(tok) + 128, **sizes, **heads)).eval()
inputs = tok("Hello world", return_tensors="pt")
output = target.generate(**inputs, assistant_model=draft, max_new_tokens=12)
print(tok.decode(output[0]))
