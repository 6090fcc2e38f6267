"""One line of code at a time, each up to its line end: it goes on over several lines."""

import llmcourse

model, tok = llmcourse.load()
end = tok.encode("\n", add_special_tokens=False)[-1]
code = 'def area(r):\n    """Return the area of a circle."""\n    pi ='
inputs = tok(code, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=40, eos_token_id=end, pad_token_id=2)
print(repr(tok.decode(made[0, inputs.input_ids.shape[1] :])))
