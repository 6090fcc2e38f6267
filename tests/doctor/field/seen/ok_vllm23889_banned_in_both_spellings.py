"""A word is banned with and without the space before it."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
bad = [tok(spelling, add_special_tokens=False).input_ids for spelling in ("Paris", " Paris")]
inputs = tok("The capital of France is", return_tensors="pt")
made = model.generate(**inputs, bad_words_ids=bad, max_new_tokens=8)
print(tok.decode(made[0]))
