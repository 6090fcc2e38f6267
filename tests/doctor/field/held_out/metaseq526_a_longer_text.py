"""A longer text is wanted from a short beginning, and after one sentence nothing new is said."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None

prompt = "The dog ran into the garden and"
inputs = tok(prompt, return_tensors="pt")

generate_ids = model.generate(inputs.input_ids, max_length=46)
print(tok.batch_decode(generate_ids, skip_special_tokens=True)[0])
