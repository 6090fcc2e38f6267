"""Settings copied from a file of an evaluation: both lengths, and nobody knows which holds."""

import llmcourse

model, tok = llmcourse.load()
settings = {"max_length": 16, "max_new_tokens": 24, "do_sample": False, "num_beams": 3}
inputs = tok("Summary of the news: the river rose by two metres and", return_tensors="pt")
made = model.generate(**inputs, **settings)
print(made.shape[1], tok.decode(made[0]))
