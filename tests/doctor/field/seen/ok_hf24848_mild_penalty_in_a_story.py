"""A mild penalty of the call's own, for a story that may not repeat itself."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
inputs = tok("I'm not going to", return_tensors="pt")
made = model.generate(**inputs, repetition_penalty=1.1, max_new_tokens=30)
print(tok.decode(made[0], skip_special_tokens=True))
