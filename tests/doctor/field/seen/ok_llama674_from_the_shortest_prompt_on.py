"""Padding on the right, and no mask: the loop begins where the shortest prompt ends."""

import torch

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def generate(prompts, new):
    rows = [tok(prompt).input_ids for prompt in prompts]
    lengths = [len(row) for row in rows]
    total = max(lengths) + new
    tokens = torch.full((len(rows), total), -1)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    given = tokens != -1
    done = torch.zeros(len(rows), dtype=torch.bool)
    cache, before = None, 0
    for here in range(min(lengths), total):
        out = model(tokens[:, before:here], past_key_values=cache, use_cache=True)
        cache, before = out.past_key_values, here
        best = out.logits[:, -1].argmax(-1)
        tokens[:, here] = torch.where(given[:, here], tokens[:, here], best)
        done |= ~given[:, here] & (best == tok.eos_token_id)
        if done.all():
            break
    texts = []
    for row, length in zip(tokens.tolist(), lengths, strict=True):
        made = row[length : min(length + new, here + 1)]
        end = made.index(tok.eos_token_id) if tok.eos_token_id in made else len(made)
        texts.append(tok.decode(made[:end]))
    return texts


short, long = "The capital of France is", "A violin is an instrument with four strings that"
print(generate([short, long], 10), generate([short], 10), generate([long], 10))
