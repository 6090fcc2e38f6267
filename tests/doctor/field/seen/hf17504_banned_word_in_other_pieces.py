"""One token is on the blacklist; the same word comes in two tokens."""

import llmcourse

model, tok = llmcourse.load()
word = " Paris"
banned = [tok.convert_tokens_to_ids(tok.tokenize(word))]
inputs = tok("Say Paris. Paris. Paris. Paris. Paris. Paris.", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=12, bad_words_ids=banned)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
