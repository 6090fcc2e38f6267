"""A length penalty as in the paper, and the summaries stay as long as they were."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("Summary: the storm took the roofs off two houses, and", return_tensors="pt")
for length_penalty in (0.6, 2.0):
    made = model.generate(**inputs, length_penalty=length_penalty, max_new_tokens=16)
    print(length_penalty, tok.decode(made[0, inputs.input_ids.shape[1] :]))
