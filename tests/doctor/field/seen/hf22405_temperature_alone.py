"""Temperatures far apart, and always the same text."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("My favourite thing about autumn is", return_tensors="pt")
for temperature in (0.2, 1.0, 3.0):
    made = model.generate(**inputs, max_new_tokens=12, temperature=temperature)
    print(temperature, tok.decode(made[0, inputs.input_ids.shape[1] :]))
