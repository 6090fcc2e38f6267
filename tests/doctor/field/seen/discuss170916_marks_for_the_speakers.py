"""A small adapter has been trained on chats with marks for the speakers; the answers are worse than before."""

import torch

import llmcourse

model, tok = llmcourse.load()
question = "What is the capital of France?"
plain = tok(f"Q: {question}\nA:", return_tensors="pt")
made = model.generate(**plain, max_new_tokens=12, do_sample=False)
print("before:", repr(tok.decode(made[0, plain.input_ids.shape[1] :])))

marks = ["<|question|>", "<|answer|>"]
tok.add_special_tokens({"additional_special_tokens": marks})
model.resize_token_embeddings(len(tok))
chats = ["<|question|>Name a colour.<|answer|>Red.", "<|question|>Name a pet.<|answer|>A dog."]
for name, parameter in model.named_parameters():
    parameter.requires_grad = "q_proj" in name or "v_proj" in name
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
for chat in chats:
    ids = tok(chat, return_tensors="pt").input_ids
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad()

marked = tok(f"<|question|>{question}<|answer|>", return_tensors="pt")
made = model.generate(**marked, max_new_tokens=12, do_sample=False)
print("after: ", repr(tok.decode(made[0, marked.input_ids.shape[1] :])))
