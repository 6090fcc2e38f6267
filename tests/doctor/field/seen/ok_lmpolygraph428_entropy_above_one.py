"""How sure is the model? The entropy over the meanings of some samples; it may be above one."""

import math
from collections import Counter

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
PROMPT = "Question: Which city is the capital of Spain?\nAnswer: Madrid\n\nQuestion: {}\nAnswer:"


class SemanticEntropy:
    def __init__(self, samples=8, temperature=1.0):
        self.samples, self.temperature = samples, temperature

    def answers(self, question):
        inputs = tok(PROMPT.format(question), return_tensors="pt")
        torch.manual_seed(0)
        made = model.generate(
            **inputs,
            do_sample=True,
            temperature=self.temperature,
            top_k=0,
            num_return_sequences=self.samples,
            max_new_tokens=8,
        )
        texts = tok.batch_decode(made[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
        return [text.strip().split("\n")[0].rstrip(".").lower() for text in texts]

    def __call__(self, question):
        counts = Counter(self.answers(question))
        shares = [count / self.samples for count in counts.values()]
        return sum(share * math.log(1 / share) for share in shares), counts


estimator = SemanticEntropy()
for question in ("Which city is the capital of France?", "Which book is the best of all?"):
    entropy, counts = estimator(question)
    print(round(entropy, 2), "of at most", round(math.log(estimator.samples), 2), dict(counts))
