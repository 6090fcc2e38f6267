"""Length and penalty set on model.config, where generate does not look any more."""

import llmcourse

model, tok = llmcourse.load()
model.config.max_length = 60
model.config.max_new_tokens = 40
model.config.repetition_penalty = 1.2
inputs = tok("To bake bread at home you need", return_tensors="pt")
made = model.generate(**inputs)
print(made.shape[1] - inputs.input_ids.shape[1], tok.decode(made[0]))
