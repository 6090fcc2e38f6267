"""The ratio of new to old chances before the first update of the weights: it should be one."""

import torch

import llmcourse


class Rollout:
    def __init__(self, model, tok, temperature):
        self.model, self.tok, self.temperature = model, tok, temperature

    def sample(self, prompt, max_new_tokens=12):
        inputs = self.tok(prompt, return_tensors="pt")
        made = self.model.generate(
            **inputs,
            do_sample=True,
            temperature=self.temperature,
            top_k=0,
            max_new_tokens=max_new_tokens,
            return_dict_in_generate=True,
            output_scores=True,
        )
        old = self.model.compute_transition_scores(
            made.sequences, made.scores, normalize_logits=True
        )
        return made.sequences, inputs["input_ids"].shape[1], old


def compute_per_token_logps(model, ids, start):
    with torch.no_grad():
        logits = model(ids).logits[:, start - 1 : -1]
    return logits.log_softmax(-1).gather(-1, ids[:, start:, None]).squeeze(-1)


torch.manual_seed(3)
model, tok = llmcourse.load()
ids, start, old_logps = Rollout(model, tok, temperature=0.6).sample("The lighthouse keeper")
new_logps = compute_per_token_logps(model, ids, start)
ratio = (new_logps - old_logps).exp()
print([round(value, 2) for value in ratio[0].tolist()])
