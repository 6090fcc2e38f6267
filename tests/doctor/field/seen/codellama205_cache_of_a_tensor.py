"""use_cache=True, and there is no past_key_values in what generate returns."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("def add(a, b):", return_tensors="pt")
generated_tokens = model.generate(**inputs, max_new_tokens=12, use_cache=True)
print(tok.decode(generated_tokens[0]))
print(generated_tokens.past_key_values)
