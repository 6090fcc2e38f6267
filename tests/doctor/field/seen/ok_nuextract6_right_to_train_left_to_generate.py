"""Padded on the right for a training step, on the left to generate."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template, tok.padding_side = None, "right"
texts = ["Name: Ada\nCity: Paris", "Name: Bob Smith\nCity: New York"]
batch = tok(texts, padding=True, return_tensors="pt")
labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
model.train()
model(**batch, labels=labels).loss.backward()
optimizer.step()
optimizer.zero_grad()
model.eval()
tok.padding_side = "left"
prompts = ["Name: Eve\nCity:", "Name: Charles Brown\nCity:"]
inputs = tok(prompts, padding=True, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=8, stop_strings=["\n"], tokenizer=tok)
print(tok.batch_decode(made[:, inputs.input_ids.shape[1] :], skip_special_tokens=True))
