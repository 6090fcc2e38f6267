"""Generated text differs from what the model wrote: blanks before commas are gone."""

import llmcourse

model, tok = llmcourse.load()
prompt = "x = [ 1 , 2 , 3 ]\ny = [ 4 , 5 , 6 ]\nz = [ 7 ,"
inputs = tok(prompt, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=10)
new = made[0, inputs.input_ids.shape[1] :]
print(tok.decode(new, clean_up_tokenization_spaces=True), "|", tok.decode(new))
