"""A draft model of the same tokenizer."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import llmcourse

model, tok = llmcourse.load()
torch.manual_seed(0)
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "eos_token_id": 2, "pad_token_id": 2}
draft = LlamaForCausalLM(LlamaConfig(vocab_size=len(tok), **sizes, **heads)).eval()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, assistant_model=draft, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
