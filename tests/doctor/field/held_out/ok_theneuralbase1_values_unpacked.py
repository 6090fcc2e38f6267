"""Ids and mask unpacked from the encoding, and both passed on by name."""

import torch

import llmcourse

model, tok = llmcourse.load()
torch.manual_seed(42)
tok.chat_template, tok.padding_side = None, "left"
prompts = ["Once upon a time there was", "The rivers"]
input_ids, attention_mask = tok(
    prompts, return_tensors="pt", padding=True, truncation=True, max_length=512
).values()
generated_ids = model.generate(
    input_ids.to(model.device),
    attention_mask=attention_mask.to(model.device),
    max_new_tokens=20,
    do_sample=True,
    temperature=0.7,
    top_p=0.9,
)
print(tok.batch_decode(generated_ids, skip_special_tokens=True))
