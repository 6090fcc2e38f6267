"""Half the memory, and a hundred times as slow as float32."""

import llmcourse

model, tok = llmcourse.load()
model = model.half()
tok.padding_side = "left"
inputs = tok(["Small is", "A very small house is"], padding=True, return_tensors="pt")
print(tok.batch_decode(model.generate(**inputs, max_new_tokens=6)))
