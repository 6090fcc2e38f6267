"""Supervised fine-tuning on questions with their answers: what the loss is made of."""

import torch

import llmcourse

model, tok = llmcourse.load()
pairs = [
    ("Here is a long letter from a customer about a late parcel. What is its topic?", "Delivery"),
    ("Here is a short note from a customer about a broken lamp. What is its topic?", "Damage"),
]


def preprocess(question, answer):
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return tok.apply_chat_template(chat, return_dict=True)["input_ids"]


def collate(rows):
    width = max(map(len, rows))
    input_ids = torch.tensor([row + [tok.pad_token_id] * (width - len(row)) for row in rows])
    attention_mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    labels = input_ids.masked_fill(attention_mask == 0, -100)
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}


batch = collate([preprocess(*pair) for pair in pairs])
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
model.train()
for _step in range(2):
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print("loss", round(loss.item(), 3), "over", (batch["labels"] != -100).sum().item(), "tokens")
model.eval()
prompt = tok.apply_chat_template([{"role": "user", "content": pairs[0][0]}], return_tensors="pt",
                                 return_dict=True, add_generation_prompt=True)  # fmt: skip
out = model.generate(**prompt, max_new_tokens=10)
print(tok.decode(out[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
