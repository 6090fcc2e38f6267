"""Stop strings are refused, though the argument is spelt right."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("Q: Where is Rome?\nA: In Italy.\nQ: Where is Oslo?\nA:", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=20, stop_strings=["\n"])
print(tok.decode(made[0]))
