"""max_length, counted from the prompt's own length."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
inputs = tok("Winter in the mountains is", return_tensors="pt")
length = inputs.input_ids.shape[1]
made = model.generate(**inputs, max_length=length + 20)
print(tok.decode(made[0, length:]))
