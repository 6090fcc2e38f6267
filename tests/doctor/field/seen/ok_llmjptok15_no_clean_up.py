"""Decoded as it was written: no clean-up of spaces."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
inputs = tok("xs = [ 1 , 2 , 3 ]\nys = [ 4 ,", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=8)
new = made[0, inputs.input_ids.shape[1] :]
print(tok.decode(new, clean_up_tokenization_spaces=False))
