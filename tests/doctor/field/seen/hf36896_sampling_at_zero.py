"""One setting for all experiments: sampling is on, and 0.0 stands for the greedy one."""

from transformers import GenerationConfig

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The quick brown", return_tensors="pt")
for temperature in (0.7, 0.0):
    config = GenerationConfig(do_sample=True, temperature=temperature, max_new_tokens=8)
    print(tok.decode(model.generate(**inputs, generation_config=config)[0]))
