"""float32 on a processor."""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import llmcourse

folder = llmcourse.load()[0].name_or_path
tok = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
).to(model.device)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
