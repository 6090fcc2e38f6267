"""Stop at the line's end: with one question it works, in a batch the others are cut off."""

from transformers import StoppingCriteria, StoppingCriteriaList

import llmcourse


class StopAt(StoppingCriteria):
    def __init__(self, text, tokenizer):
        self.text, self.tokenizer = text, tokenizer
        self.length = len(tokenizer(text).input_ids)

    def __call__(self, input_ids, scores, **kwargs):
        last = input_ids[0, -self.length :]
        return self.text in self.tokenizer.decode(last)


model, tok = llmcourse.load()
shot = "Q: The colour of snow?\nA: White.\nQ: "
questions = ["The capital of France?", "Why is the sky blue?"]
inputs = tok([shot + q + "\nA:" for q in questions], padding=True, return_tensors="pt")
made = model.generate(
    **inputs, max_new_tokens=50, stopping_criteria=StoppingCriteriaList([StopAt("\n", tok)])
)
for row in tok.batch_decode(made[:, inputs.input_ids.shape[1] :]):
    print(repr(row))
