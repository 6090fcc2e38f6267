"""Padding on the left becomes token 0; positions are a sum without the place itself."""

import torch

import llmcourse

model, tok = llmcourse.load()
pad = tok.pad_token_id


@torch.no_grad()
def last_logits(queries):
    width = max(len(query) for query in queries)
    rows = [[pad] * (width - len(query)) + query for query in queries]
    ids = torch.tensor(rows)
    mask = torch.zeros_like(ids)
    for row, query in zip(mask, queries, strict=True):
        row[width - len(query) :] = 1
    positions = mask.cumsum(1) - mask
    ids = ids.masked_fill(mask == 0, 0)
    return model(ids, attention_mask=mask, position_ids=positions).logits[:, -1]


texts = ["The capital of France is", "Of all the cities in the world, the one that I like most is"]
queries = [tok(text).input_ids for text in texts]
together = last_logits(queries)
alone = torch.cat([last_logits([query]) for query in queries])
print((together - alone).abs().max().item())
print([tok.decode(token) for token in together.argmax(-1)])
