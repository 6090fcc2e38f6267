"""The tokenizer's output goes in whole, and generate does not know one part of it."""

import llmcourse

model, tok = llmcourse.load()
tok.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]  # as Falcon's had it
inputs = tok("Write a poem about Valencia.", return_tensors="pt")
print(list(inputs))
outputs = model.generate(**inputs, max_new_tokens=20)
print(tok.decode(outputs[0]))
