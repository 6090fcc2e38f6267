"""A batch, padded on the left, decoded after the prompts."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
tok.pad_token, tok.padding_side = tok.eos_token, "left"
inputs = tok(["1, 2, 3", "A, B, C, D, E"], padding=True, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=12)
print(tok.batch_decode(made[:, inputs.input_ids.shape[1] :], skip_special_tokens=True))
