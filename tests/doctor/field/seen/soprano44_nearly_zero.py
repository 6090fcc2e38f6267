"""0.0 was refused, so a very small number was taken instead."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("It was a dark and stormy night, and", return_tensors="pt")
for _ in range(2):
    made = model.generate(**inputs, do_sample=True, temperature=1e-4, top_k=0, max_new_tokens=14)
    print(tok.decode(made[0]))
