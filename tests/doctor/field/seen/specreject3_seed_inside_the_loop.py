"""Best of four: the four samples are one and the same."""

from transformers import set_seed

import llmcourse

model, tok = llmcourse.load()
inputs = tok("A short poem about snow:\n", return_tensors="pt")
samples = []
for _ in range(4):
    set_seed(42)
    made = model.generate(**inputs, do_sample=True, top_k=0, top_p=0.95, max_new_tokens=16)
    samples.append(tok.decode(made[0, inputs.input_ids.shape[1] :]))
best = max(samples, key=len)
print(len(set(samples)), best)
