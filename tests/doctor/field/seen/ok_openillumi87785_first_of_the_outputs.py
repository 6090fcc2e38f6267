"""The next word's chances from the first entry of a model's outputs, as older code has it."""

import torch

import llmcourse


class NextWord:
    def __init__(self, model, tok):
        self.model, self.tok = model.eval(), tok

    @torch.no_grad()
    def distribution(self, text):
        input_ids = self.tok(text, return_tensors="pt")["input_ids"]
        outputs = self.model(input_ids)
        next_token_logits = outputs[0][:, -1, :]
        return torch.softmax(next_token_logits, dim=-1)[0]

    def top(self, text, k=5):
        probs, ids = torch.topk(self.distribution(text), k)
        words = [self.tok.decode(token) for token in ids]
        return list(zip(words, [round(p, 4) for p in probs.tolist()], strict=True))


words = NextWord(*llmcourse.load())
print(words.top("Good morning, how are"))
print(words.distribution("Good morning, how are").sum().item())
