"""Left padding with the end token and no mask: only the longest row comes out right."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
tok.pad_token, tok.padding_side = tok.eos_token, "left"
texts = ["Hello, my dog is cute", "This is a much longer text about dogs. Hello, my cat is cute"]
ids = tok(texts, return_tensors="pt", padding=True)["input_ids"]
for row in model.generate(ids, do_sample=False, max_new_tokens=10):
    print(tok.decode(row[-10:]))
