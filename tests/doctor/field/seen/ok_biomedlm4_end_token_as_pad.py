"""No pad token, so the end token pads: with the mask passed it does not matter which one it is."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
tok.pad_token, tok.padding_side = tok.eos_token, "left"
sequences = ["Cells divide and", "The protein binds to the membrane of the cell, and then"]
inputs = tok(sequences, padding=True, return_tensors="pt")
made = model.generate(
    input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, max_new_tokens=12
)
print(tok.batch_decode(made[:, inputs.input_ids.shape[1] :], skip_special_tokens=True))
