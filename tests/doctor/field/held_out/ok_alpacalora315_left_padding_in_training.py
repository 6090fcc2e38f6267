"""Losses of a batch padded on the left, with a mask and no positions, for a rotary model."""

import torch

import llmcourse

model, tok = llmcourse.load()
END = "<|im_end|>"


def generate_and_tokenize(question, answer):
    prompt = tok.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    start, full = tok(prompt).input_ids, tok(prompt + answer + END).input_ids
    return {"input_ids": full, "labels": [-100] * len(start) + full[len(start) :]}


def collate(rows):
    width = max(len(row["input_ids"]) for row in rows)

    def padded(key, fill):
        return torch.tensor([[fill] * (width - len(row[key])) + row[key] for row in rows])

    for row in rows:
        row["attention_mask"] = [1] * len(row["input_ids"])
    return {
        "input_ids": padded("input_ids", tok.pad_token_id),
        "attention_mask": padded("attention_mask", 0),
        "labels": padded("labels", -100),
    }


@torch.no_grad()
def row_losses(rows):
    batch = collate(rows)
    labels = batch.pop("labels")[:, 1:]
    logits = model(**batch).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    return (losses.sum(-1) / (labels != -100).sum(-1)).tolist()


rows = [
    generate_and_tokenize("Hi!", "Hello."),
    generate_and_tokenize("Who wrote Faust?", "Goethe."),
]
print(row_losses(rows), [row_losses([row])[0] for row in rows])
