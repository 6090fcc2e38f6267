"""Two prompts in a batch: the long one goes on well, the short one goes astray."""

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "right"
prompts = ["Today I am in Paris and", "Hi there!"]
inputs = tok(prompts, padding=True, return_tensors="pt")
made = model.generate(**inputs, do_sample=False, max_new_tokens=10)
print(tok.batch_decode(made))
