"""A sweep over temperatures for a report: every row of the table is identical."""

from transformers import GenerationConfig

import llmcourse

model, tok = llmcourse.load()
inputs = tok("A good name for a boat is", return_tensors="pt")
rows = {}
for temperature in (0.3, 0.9, 1.5):
    config = GenerationConfig(
        temperature=temperature, max_new_tokens=10, eos_token_id=2, pad_token_id=2
    )
    rows[temperature] = tok.decode(model.generate(**inputs, generation_config=config)[0])
print(rows)
