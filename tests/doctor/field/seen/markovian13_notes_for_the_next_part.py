"""Notes about each part of a text are written before the next part comes; those about short parts are odd."""

import torch

import llmcourse

model, tok = llmcourse.load()
PARTS = [
    "The train was late, and so we took the old bus to the sea.",
    "The cat slept all day on my bed.",
]


class NoteTaker:
    def __init__(self, tokens_per_part=24, tokens_per_note=14):
        self.tokens_per_part, self.tokens_per_note = tokens_per_part, tokens_per_note
        self.prefix = tok(
            "\nQuestion: What is this about?\nAnswer: It is about", return_tensors="pt"
        ).input_ids

    def cut(self, parts):
        return tok(
            parts,
            padding="max_length",
            truncation=True,
            max_length=self.tokens_per_part,
            return_tensors="pt",
        ).input_ids

    def notes(self, parts):
        observed = self.cut(parts)
        start = torch.cat([observed, self.prefix.expand(len(parts), -1)], dim=1)
        made = model.generate(
            inputs=start,
            max_new_tokens=self.tokens_per_note,
            do_sample=False,
            pad_token_id=tok.eos_token_id,
        )
        return tok.batch_decode(made[:, start.shape[1] :], skip_special_tokens=True)


print("together:", NoteTaker().notes(PARTS))
exactly = len(tok(PARTS[1]).input_ids)
print("alone:   ", NoteTaker(tokens_per_part=exactly).notes(PARTS[1:]))
