"""index out of range in self, after adding a few tokens of one's own."""

import llmcourse

model, tok = llmcourse.load()
tok.add_tokens(["|||", "<keyphrase>"])
inputs = tok("|||George Washington||| was a president and", return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=10)[0]))
