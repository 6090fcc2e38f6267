"""A word is banned and comes all the same."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The capital of France is", return_tensors="pt")
bad_words_ids = tok(["Paris"], add_special_tokens=False).input_ids
made = model.generate(**inputs, max_new_tokens=8, bad_words_ids=bad_words_ids)
print(tok.decode(made[0]))
