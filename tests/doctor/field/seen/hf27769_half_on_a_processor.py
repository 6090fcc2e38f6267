"""float16 as on the model's page, on a machine without a graphics card."""

import torch
from transformers import AutoModelForCausalLM

import llmcourse

course, tok = llmcourse.load()
model = AutoModelForCausalLM.from_pretrained(course.name_or_path, dtype=torch.float16)
inputs = tok("The sum of two and two is", return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=6)[0]))
