"""Log-probabilities of a batch of answers, with few logits kept: one row is not that of its own."""

import torch

import llmcourse

model, tok = llmcourse.load()


def encode(pairs):
    rows, labels = [], []
    for prompt, answer in pairs:
        p, a = tok(prompt).input_ids, tok(answer).input_ids
        rows.append(p + a)
        labels.append([-100] * len(p) + a)
    width = max(map(len, rows))
    pad = tok.pad_token_id
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    labels = torch.tensor([[-100] * (width - len(row)) + row for row in labels])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@torch.no_grad()
def answer_log_probs(batch):
    labels = batch.pop("labels")
    logits_to_keep = labels.shape[-1] - torch.ne(labels, -100).int().argmax(-1)[0].item()
    completion_mask = torch.ones(labels.shape[0], logits_to_keep)
    logits = model(**batch, logits_to_keep=logits_to_keep + 1).logits[:, :-1]
    completion_ids = batch["input_ids"][:, -logits_to_keep:]
    log_probs = logits.log_softmax(-1).gather(-1, completion_ids.unsqueeze(-1)).squeeze(-1)
    return (log_probs * completion_mask).sum(-1)


pairs = [
    ("Q: What is the capital of France?\nA:", " Paris."),
    ("Q: Why?\nA:", " Because the sea is salty and the sky is wide."),
]
print("together:", answer_log_probs(encode(pairs)).tolist())
print("alone:", [answer_log_probs(encode([pair])).item() for pair in pairs])
