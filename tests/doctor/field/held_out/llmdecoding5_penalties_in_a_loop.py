"""Frequency and presence penalties in a loop of one's own: more comes after the answer."""

from collections import Counter

import torch

import llmcourse

model, tok = llmcourse.load()


def apply_penalties(logits, written, frequency, presence):
    penalized = logits.clone()
    for token, count in Counter(written).items():
        penalized[token] -= presence + count * frequency
    return penalized


def penalty_generate(question, frequency=0.0, presence=0.0, max_new_tokens=14):
    ids = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )["input_ids"]
    written = []
    for _ in range(max_new_tokens):
        with torch.no_grad():
            logits = model(ids).logits[0, -1]
        token = apply_penalties(logits, written, frequency, presence).argmax()
        written.append(token.item())
        ids = torch.cat([ids, token.view(1, 1)], dim=-1)
    return tok.decode(written)


print(penalty_generate("What is the capital of France? One short sentence.", frequency=0.3))
