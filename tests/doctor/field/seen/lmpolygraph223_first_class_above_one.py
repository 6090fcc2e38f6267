"""Semantic entropy of sampled answers: the first class has more than all the chance there is."""

import math
from collections import defaultdict

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


class SemanticEntropy:
    def __init__(self, samples=6, new_tokens=2):
        self.samples, self.new_tokens = samples, new_tokens

    def sample(self, prompt):
        inputs = tok(prompt, return_tensors="pt")
        torch.manual_seed(0)
        made = model.generate(
            **inputs,
            do_sample=True,
            top_k=0,
            num_return_sequences=self.samples,
            max_new_tokens=self.new_tokens,
            output_logits=True,
            return_dict_in_generate=True,
        )
        new = made.sequences[:, inputs.input_ids.shape[1] :]
        log_probs = torch.stack(made.logits, dim=1).log_softmax(-1)
        chosen = log_probs.gather(-1, new.unsqueeze(-1)).squeeze(-1)
        return tok.batch_decode(new), chosen.sum(-1)

    def __call__(self, prompt):
        texts, likelihoods = self.sample(prompt)
        classes = defaultdict(float)
        for text, likelihood in zip(texts, likelihoods):
            classes[text.strip().lower()] += likelihood.exp().item()
        entropy = -sum(p * math.log(p) for p in classes.values())
        return dict(classes), entropy


print(SemanticEntropy()("The capital of France is the city of"))
