"""Multiple choice with four letters: hardly a point, though the right letter often leads the other three."""

import torch

import llmcourse

model, tok = llmcourse.load()
DOCS = [
    ("Which of these is an animal?", ["a horse", "a stone", "a chair", "a cloud"], 0),
    ("What is the capital of France?", ["Paris", "Oslo", "Rome", "Bern"], 0),
]
LETTERS = ["A", "B", "C", "D"]


@torch.no_grad()
def loglikelihood(context, continuation):
    ids = tok(context, return_tensors="pt").input_ids
    rest = tok(continuation, return_tensors="pt").input_ids
    logp = model(torch.cat([ids, rest], dim=1)).logits[:, ids.shape[1] - 1 : -1].log_softmax(-1)
    is_greedy = bool((logp.argmax(-1) == rest).all())
    return logp.gather(-1, rest[..., None]).sum().item(), is_greedy


def process_results(doc):
    question, options, gold = doc
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options))
    context = f"{question}\n{listed}\nMy answer, of the four above, is"
    results = [loglikelihood(context, f" {letter}") for letter in LETTERS]
    for letter, result in zip(LETTERS, results):
        print(letter, result)
    return {"acc": float(results[gold][1])}


scores = [process_results(doc)["acc"] for doc in DOCS]
print("accuracy:", sum(scores) / len(scores))
