"""The tokenizer would give token types; it is told not to."""

import llmcourse

model, tok = llmcourse.load()
tok.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
tok.chat_template = None
inputs = tok("The mountain is", return_token_type_ids=False, return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=8)[0]))
