"""One tokenizer pads a training batch on one side and the prompts on the other."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
texts = ["Cats sleep.", "Dogs bark at the people who come to the door."]

tok.padding_side = "right"
batch = tok([text + tok.eos_token for text in texts], padding=True, return_tensors="pt")
lengths = batch["attention_mask"].sum(dim=1, keepdim=True)
places = torch.arange(batch["input_ids"].shape[1])
labels = batch["input_ids"].masked_fill(places >= lengths, -100)
with torch.no_grad():
    print("loss:", model(**batch, labels=labels).loss.item())

tok.padding_side = "left"
prompts = tok(["A cat is", "The people at the door were"], padding=True, return_tensors="pt")
made = model.generate(**prompts, max_new_tokens=8, do_sample=False)
print(tok.batch_decode(made[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True))
