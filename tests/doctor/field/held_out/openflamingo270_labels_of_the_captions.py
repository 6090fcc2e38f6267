"""A few steps on captions with their ends: the chance of an end behind a caption goes down."""

import torch

import llmcourse

model, tok = llmcourse.load()
END = "<|im_end|>"
captions = ["a red boat on a lake", "two dogs in deep snow", "an old clock"]


def collate(texts):
    batch = tok([text + END for text in texts], return_tensors="pt", padding=True)
    labels = batch["input_ids"].clone()
    labels[batch["attention_mask"] == 0] = -100
    labels[labels == tok.eos_token_id] = -100
    batch["labels"] = labels
    return batch


@torch.no_grad()
def chance_of_an_end(text):
    logits = model(**tok(text, return_tensors="pt")).logits[0, -1]
    return logits.softmax(-1)[tok.convert_tokens_to_ids(END)].item()


def train(batch, steps=4, lr=0.001):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step in range(steps):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"step {step}: loss {loss.item():.3f}")


print("before:", chance_of_an_end("an old clock"))
train(collate(captions))
print("after:", chance_of_an_end("an old clock"))
