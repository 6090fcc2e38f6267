"""A repetition penalty in our own loop: what was written before becomes likelier."""

import torch

import llmcourse

model, tok = llmcourse.load()


class Sampler:
    def __init__(self, repetition_penalty=None):
        self.repetition_penalty = repetition_penalty

    def penalize(self, logits, current_tokens):
        if self.repetition_penalty is not None and self.repetition_penalty != 1.0:
            for token_id in set(current_tokens):
                logits[token_id] = logits[token_id] / self.repetition_penalty
        return logits


@torch.no_grad()
def generate(prompt, sampler, max_new_tokens=30):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": prompt}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    ids, written = inputs["input_ids"], []
    for _ in range(max_new_tokens):
        logits = model(ids).logits[0, -1].log_softmax(-1)
        token = int(sampler.penalize(logits, written).argmax())
        if token == tok.eos_token_id:
            break
        written.append(token)
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return tok.decode(written)


for penalty in (None, 3.0):
    print(penalty, repr(generate("Tell me a joke.", Sampler(penalty))))
