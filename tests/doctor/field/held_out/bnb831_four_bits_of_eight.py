"""Saved with 8 bits, loaded with 4 to save memory: it takes as much as before."""

import tempfile

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=256,
    hidden_size=256,
    intermediate_size=512,
    num_hidden_layers=4,
    num_attention_heads=4,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
eight = BitsAndBytesConfig(load_in_8bit=True)
four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
with tempfile.TemporaryDirectory() as full, tempfile.TemporaryDirectory() as small:
    LlamaForCausalLM(config).save_pretrained(full)
    model = AutoModelForCausalLM.from_pretrained(full, quantization_config=eight)
    model.save_pretrained(small)
    again = AutoModelForCausalLM.from_pretrained(small, quantization_config=four)
    expected = AutoModelForCausalLM.from_pretrained(full, quantization_config=four)
print("8 bits:", model.get_memory_footprint())
print("4 bits:", again.get_memory_footprint(), "and not", expected.get_memory_footprint())
prompt = torch.tensor([[1, 7, 9]])
made = again.generate(
    prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False
)
print(made[0].tolist())
