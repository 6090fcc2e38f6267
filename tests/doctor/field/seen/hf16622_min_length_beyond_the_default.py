"""At least 50 tokens were asked for, and at most 20 come."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok(
    "At the launch of the report, the Secretary-General called for a shift of", return_tensors="pt"
)
made = model.generate(inputs.input_ids, min_length=50)
print(made.shape[1] - inputs.input_ids.shape[1], tok.decode(made[0]))
