"""Generating from embeddings, behind a soft prompt: the whole output is decoded."""

import torch

import llmcourse

model, tok = llmcourse.load()
chat = [{"role": "user", "content": "What is the capital of Italy?"}]
inputs = tok.apply_chat_template(
    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
embed = model.get_input_embeddings()
soft = torch.nn.Parameter(torch.zeros(1, 1, embed.embedding_dim))  # to be trained
with torch.no_grad():
    embeds = torch.cat([soft, embed(inputs["input_ids"])], dim=1)
mask = torch.cat([torch.ones(1, 1, dtype=torch.long), inputs["attention_mask"]], dim=1)
made = model.generate(inputs_embeds=embeds, attention_mask=mask, max_new_tokens=20, do_sample=False)
assert made.shape[1] <= 20
print(tok.decode(made[0], skip_special_tokens=True))
