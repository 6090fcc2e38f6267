"""The perplexity of a long text under a model with a short window: higher than was reported."""

import torch

import llmcourse

model, tok = llmcourse.load()
WINDOW = 48  # a model with a maximum of 48 tokens


class Perplexity:
    def __init__(self, model, tok, max_length):
        self.model, self.tok, self.max_length = model, tok, max_length

    @torch.no_grad()
    def __call__(self, text):
        ids = self.tok(text, return_tensors="pt").input_ids
        total, count = 0.0, 0
        for start in range(0, ids.size(1), self.max_length):
            segment = ids[:, start : start + self.max_length]
            if segment.size(1) < 2:
                break
            loss = self.model(segment, labels=segment).loss
            total += loss.item() * (segment.size(1) - 1)
            count += segment.size(1) - 1
        return torch.tensor(total / count).exp().item()


text = (
    "A bakery on the corner opens at six. The baker has been up since two, and the first loaves "
    "are already cold when the postman comes in. He buys two rolls, one for himself and one for "
    "his dog, and he tells the baker which letters he has for the street. The teacher comes at "
    "seven and wants her bread in slices. By eight there is a line to the church, and the baker's "
    "son has to help, although he would rather sleep. At noon the shelves are empty, and the "
    "baker sweeps the floor, locks the door and goes home to bed, where he dreams of bread."
)
print("perplexity", Perplexity(model, tok, WINDOW)(text))
