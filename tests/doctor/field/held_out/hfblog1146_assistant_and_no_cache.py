"""Assisted generation with a fine-tuned model, as in the post: generate refuses."""

from transformers import AutoModelForCausalLM

import llmcourse

model, tok = llmcourse.load()
assistant = AutoModelForCausalLM.from_pretrained(model.name_or_path)
model.generation_config.use_cache = False  # from the training script
inputs = tok("Which is a species of fish? Tope or rope?\nAnswer:", return_tensors="pt")
made = model.generate(**inputs, assistant_model=assistant, max_new_tokens=12)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
