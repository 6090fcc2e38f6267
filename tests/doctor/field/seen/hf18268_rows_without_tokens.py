"""The model gives ids that the tokenizer does not know: they decode to nothing."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tok) + 40000, **sizes, **heads)).eval()
inputs = tok("A random model:", return_tensors="pt")
made = model.generate(**inputs, do_sample=True, top_k=0, max_new_tokens=10)
print(made[0].tolist(), repr(tok.decode(made[0, inputs.input_ids.shape[1] :])))
