"""The prompt ends with a space, so that the next word can follow: a dot follows."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
for prompt in ("One day, Lily met a ", "One day, Lily met a"):
    inputs = tok(prompt, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=8)
    print(repr(tok.decode(made[0])))
