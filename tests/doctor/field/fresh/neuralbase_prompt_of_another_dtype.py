"""A learned prompt in front of the embeddings of a model in 4 bits: the forward pass fails."""

import tempfile

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

import llmcourse

_, tok = llmcourse.load()
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=len(tok), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
    num_attention_heads=4, bos_token_id=1, eos_token_id=2, pad_token_id=2,
)  # fmt: skip
folder = tempfile.mkdtemp()
LlamaForCausalLM(config).save_pretrained(folder)

quant_config = BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
)
model = AutoModelForCausalLM.from_pretrained(
    folder, quantization_config=quant_config, dtype=torch.bfloat16
)
inputs = tok("Hello, world", return_tensors="pt")
embeds = model.get_input_embeddings()(inputs["input_ids"])
learned = torch.nn.Parameter(torch.randn(1, 4, config.hidden_size) * 0.02)
with torch.no_grad():
    embeds = torch.cat([learned, embeds], dim=1)
    mask = torch.cat([torch.ones(1, 4, dtype=torch.long), inputs["attention_mask"]], dim=1)
    out = model.generate(inputs_embeds=embeds, attention_mask=mask, max_new_tokens=5)
print(tok.decode(out[0]))
