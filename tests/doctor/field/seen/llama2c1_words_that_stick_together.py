"""The story appears while it is written, but its words stick together."""

import torch
from tokenizers import decoders

import llmcourse

model, tok = llmcourse.load()
# a text never begins with a space for this tokenizer, as for the one of Llama
tok.backend_tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])


@torch.no_grad()
def tokens(prompt, steps):
    ids = tok(prompt, return_tensors="pt").input_ids
    past = None
    for _ in range(steps):
        out = model(ids, past_key_values=past)
        past = out.past_key_values
        ids = out.logits[:, -1].argmax(-1, keepdim=True)
        yield ids.item()


def run(prompt, steps=24):
    print(prompt, end="")
    for token in tokens(prompt, steps):
        print(tok.decode([token]), end="", flush=True)
    print()


run("Once upon a time, there was a little girl who")
