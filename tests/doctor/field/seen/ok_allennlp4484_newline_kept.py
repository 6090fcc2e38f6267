"""A prompt that ends with a line's end, on purpose."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
inputs = tok("A list of fruit:\n- apples\n- pears\n", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=10)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
