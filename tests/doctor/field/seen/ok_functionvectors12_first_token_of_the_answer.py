"""How high does the answer rank? Long answers are judged by their first token."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
PAIRS = [("France", "Paris"), ("Italy", "Rome"), ("Peru", "Lima"), ("Kenya", "Nairobi")]


def prompt_of(shots, query):
    lines = [f"Q: {country}\nA: {capital}\n" for country, capital in shots]
    return "\n".join(lines + [f"Q: {query}\nA:"])


def first_token(answer):
    return tok(" " + answer, add_special_tokens=False).input_ids[0]


assert len({first_token(capital) for _, capital in PAIRS}) == len(PAIRS)


@torch.no_grad()
def rank(shots, query, answer):
    ids = tok(prompt_of(shots, query), return_tensors="pt").input_ids
    logits = model(ids).logits[0, -1]
    return int((logits > logits[first_token(answer)]).sum())


def top_k_accuracy(ranks, k):
    return sum(r < k for r in ranks) / len(ranks)


ranks = []
for i, (country, capital) in enumerate(PAIRS):
    shots = PAIRS[:i] + PAIRS[i + 1 :]
    ranks.append(rank(shots, country, capital))
print(ranks, top_k_accuracy(ranks, 1), top_k_accuracy(ranks, 5))
