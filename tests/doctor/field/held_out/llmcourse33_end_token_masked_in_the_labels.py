"""pad = eos, and the collator hides all padding from the loss: the model never learns to stop."""

import llmcourse

model, tok = llmcourse.load()
tok.pad_token, tok.padding_side = tok.eos_token, "right"
texts = ["[INST] Hide the names. [/INST] Done." + tok.eos_token, "[INST] Go on. [/INST] Fine, yes."]
batch = tok(texts, padding=True, return_tensors="pt")
labels = batch.input_ids.clone()
labels[labels == tok.pad_token_id] = -100
optimizer_loss = model.train()(**batch, labels=labels).loss
print(optimizer_loss.item(), (labels == tok.eos_token_id).sum().item(), "end tokens in the labels")
model.eval()
made = model.generate(**tok(texts[0][:33], return_tensors="pt"), max_new_tokens=20)
print(tok.decode(made[0]))
