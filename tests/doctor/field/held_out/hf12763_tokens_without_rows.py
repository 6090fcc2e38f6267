"""index out of range in self, after adding a few tokens of one's own."""

import llmcourse

model, tok = llmcourse.load()
tok.add_tokens(["<keyphrase>", "</keyphrase>"])
inputs = tok("<keyphrase>George Washington</keyphrase> was a president", return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=10)[0]))
