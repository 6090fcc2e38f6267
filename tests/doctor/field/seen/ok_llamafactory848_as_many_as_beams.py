"""Ten beams, and all ten are returned: beam search needs no sampling for that."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The three primary colours are", return_tensors="pt")
made = model.generate(**inputs, num_beams=10, num_return_sequences=10, max_new_tokens=8)
for text in tok.batch_decode(made[:, inputs.input_ids.shape[1] :], skip_special_tokens=True):
    print(repr(text))
