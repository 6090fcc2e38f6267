"""A smaller draft for a target model, chosen by the sizes in their configurations."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import llmcourse

target, tok = llmcourse.load()
torch.manual_seed(0)
draft = LlamaForCausalLM(
    LlamaConfig(  # the small one of the family
        vocab_size=49168,
        hidden_size=576,
        num_attention_heads=9,
        num_key_value_heads=3,
        intermediate_size=256,
        num_hidden_layers=2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
).eval()
assert draft.config.hidden_size == target.config.hidden_size
assert draft.config.num_attention_heads == target.config.num_attention_heads

inputs = tok("def add(a, b):", return_tensors="pt")
out = target.generate(**inputs, assistant_model=draft, max_new_tokens=20)
print(tok.decode(out[0]))
