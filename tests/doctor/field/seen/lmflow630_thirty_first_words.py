"""Thirty first words are drawn to see which one the model likes best: all thirty differ."""

from collections import Counter

import torch

import llmcourse


class Inferencer:
    def __init__(self, model, tok, temperature=1.0):
        self.model, self.tok, self.temperature = model, tok, temperature

    @torch.no_grad()
    def next_token_probs(self, messages):
        inputs = self.tok.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        logits = self.model(**inputs).logits[:, -1]
        return torch.softmax(logits / self.temperature, dim=-1)

    def sample(self, probs, num_sample=1):
        tokens = torch.multinomial(probs, num_samples=num_sample)
        return {"tokens": tokens, "probs": probs.gather(-1, tokens)}


torch.manual_seed(0)
inferencer = Inferencer(*llmcourse.load())
question = [{"role": "user", "content": "Name a colour. Say only its name."}]
drawn = inferencer.sample(inferencer.next_token_probs(question), num_sample=30)
counts = Counter(inferencer.tok.decode(token) for token in drawn["tokens"][0])
print("counted:", counts.most_common(5))
print("highest chance:", round(drawn["probs"].max().item(), 3))
