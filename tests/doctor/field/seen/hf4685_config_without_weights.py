"""A model made from the config of a checkpoint: other weights each time, and noise."""

from transformers import AutoConfig, AutoModelForCausalLM

import llmcourse

course, tok = llmcourse.load()
model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(course.name_or_path))
model.eval()
inputs = tok("The capital of Italy is", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=10, eos_token_id=2, pad_token_id=2)
print(tok.decode(made[0]))
