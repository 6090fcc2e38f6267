"""A tutorial's line with temperature=0. fails: the model's own config switches sampling on."""

import llmcourse

model, tok = llmcourse.load()
model.generation_config.do_sample = True  # as many chat models have it in their folder
model.generation_config.temperature = 0.6
inputs = tok("A list of colors: red, blue", return_tensors="pt")
outputs = model.generate(**inputs, max_new_tokens=16, temperature=0.0)
print(tok.decode(outputs[0]))
