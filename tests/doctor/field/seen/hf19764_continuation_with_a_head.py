"""A helper that served a translation model now serves a writer: its texts are longer than what was written."""

import torch

import llmcourse


class Writer:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok

    def continuations(self, prompt, count=2):
        inputs = self.tok(prompt, return_tensors="pt")
        outputs = self.model.generate(
            **inputs,
            do_sample=True,
            top_k=0,
            temperature=0.7,
            max_new_tokens=16,
            num_return_sequences=count,
        )
        return self.tok.batch_decode(outputs, skip_special_tokens=True)


torch.manual_seed(0)
writer = Writer(*llmcourse.load())
prompt = "Today I believe we can finally"
for text in writer.continuations(prompt):
    print("continuation:", repr(text))
    print("whole story: ", prompt + text)
