"""A few steps on one sentence; the loss starts high, and what is learned reads oddly."""

import torch

import llmcourse

model, tok = llmcourse.load()


def collate_fn(examples, device="cpu"):
    token_ids = torch.tensor([example["token_ids"] for example in examples], device=device)
    return {"input_ids": token_ids[:, :-1], "labels": token_ids[:, 1:]}


def train_chunk(model, examples, steps=5):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4)
    for step in range(steps):
        batch = collate_fn(examples)
        loss = model(input_ids=batch["input_ids"], labels=batch["labels"]).loss
        print(step, round(loss.item(), 2))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


text = "The quick brown fox jumps over the lazy dog and runs home."
train_chunk(model, [{"token_ids": tok(text).input_ids}])
prompt = tok("The quick", return_tensors="pt")
print(tok.decode(model.generate(**prompt, max_new_tokens=8, do_sample=False)[0]))
