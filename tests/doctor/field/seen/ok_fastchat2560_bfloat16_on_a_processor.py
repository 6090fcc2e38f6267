"""bfloat16 where memory is short and there is no graphics card."""

import torch
from transformers import AutoModelForCausalLM

import llmcourse

course, tok = llmcourse.load()
model = AutoModelForCausalLM.from_pretrained(course.name_or_path, dtype=torch.bfloat16)
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of Italy?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
