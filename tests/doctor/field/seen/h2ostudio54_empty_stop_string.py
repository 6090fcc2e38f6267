"""A list of stop words from a form, one field of it left empty: one token comes."""

from transformers import StoppingCriteria

import llmcourse


class StopAt(StoppingCriteria):
    def __init__(self, tokenizer, words):
        self.tokenizer, self.words = tokenizer, words

    def __call__(self, input_ids, scores, **kwargs):
        text = self.tokenizer.decode(input_ids[0])
        return any(text.endswith(word) for word in self.words)


model, tok = llmcourse.load()
words = ["User:", ""]
inputs = tok("User: What is the sea?\nBot:", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=30, stopping_criteria=[StopAt(tok, words)])
print(repr(tok.decode(made[0, inputs.input_ids.shape[1] :])))
