"""No three words twice, in free text."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
inputs = tok("Today I", return_tensors="pt")
made = model.generate(**inputs, no_repeat_ngram_size=3, max_new_tokens=40)
print(tok.decode(made[0], skip_special_tokens=True))
