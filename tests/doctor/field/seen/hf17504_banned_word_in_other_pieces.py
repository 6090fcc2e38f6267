"""One token is on the blacklist; the same word comes in two tokens."""

import llmcourse

model, tok = llmcourse.load()
word = " Paris"
banned = [tok.convert_tokens_to_ids(tok.tokenize(word))]
prompt = "France: Paris\nItaly: Rome\nSpain: Madrid\nFrance:"
inputs = tok(prompt, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=6, bad_words_ids=banned, num_beams=4)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
