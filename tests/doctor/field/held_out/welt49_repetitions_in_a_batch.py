"""A prompt alone is repeated well; in a batch with a longer one the repetition goes wrong."""

import torch

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def generate(texts, steps=12):
    batch = tok(texts, padding=True, padding_side="right", return_tensors="pt")
    lengths = batch.attention_mask.sum(-1)
    out = model(**batch)
    logits = out.logits[torch.arange(len(texts)), lengths - 1]
    mask = batch.attention_mask
    words = []
    for _ in range(steps):
        token = logits.argmax(-1, keepdim=True)
        words.append(token)
        mask = torch.cat([mask, torch.ones_like(token)], dim=1)
        out = model(token, attention_mask=mask, past_key_values=out.past_key_values)
        logits = out.logits[:, -1]
    return tok.batch_decode(torch.cat(words, dim=1))


texts = [
    "Say it again.\nText: Would it not be more cruel to let people die, when with some effort "
    "and a little money one could save them? So asked the old doctor from the north.\nAgain:",
    "Say it again.\nText: Seven green apples fell down.\nAgain:",
]
for text, together in zip(texts, generate(texts)):
    print("alone:   ", repr(generate([text])[0]))
    print("in batch:", repr(together))
