"""One sequence in batch_decode: a list of little pieces, or letters, comes back."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The word for house is casa, and for dog 犬 and", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=10)
new = made[0, inputs.input_ids.shape[1] :]
texts = tok.batch_decode(new.unsqueeze(1), skip_special_tokens=True)
print(" ".join(texts))
print(" ".join(tok.batch_decode(inputs.input_ids[0].unsqueeze(1))))
