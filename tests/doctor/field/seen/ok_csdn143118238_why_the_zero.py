"""What comes out of generate has two dimensions; for one prompt its row zero is read."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


class Summarizer:
    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer

    def __call__(self, prompt):
        inputs = self.tokenizer(prompt, return_tensors="pt")["input_ids"].to(self.model.device)
        outputs = self.model.generate(inputs, do_sample=False, max_length=inputs.shape[1] + 12)
        print(type(outputs).__name__, tuple(outputs.shape))
        return self.tokenizer.decode(outputs[0])


print(Summarizer(model, tok)("In one sentence, the sun is"))
