"""A fixed number of tokens, cut at the first new line afterwards."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
inputs = tok("Proverb: Many hands make light", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=16)
raw_output = tok.decode(made[0], skip_special_tokens=True)
print(raw_output.split("\n")[0])
