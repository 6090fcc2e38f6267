"""A soft prompt that begins as embeddings of tokens drawn from the first 5000 of the vocabulary."""

import random

import torch

import llmcourse

model, tok = llmcourse.load()
model.requires_grad_(False)


class SoftPrompt(torch.nn.Module):
    def __init__(self, model, prompt_length=5, seed=1940):
        super().__init__()
        self.embed = model.get_input_embeddings()
        indices = random.Random(seed).sample(range(5000), prompt_length)
        start = self.embed.weight[torch.tensor(indices)].detach().clone()
        self.prompt = torch.nn.Parameter(start.unsqueeze(0))

    def forward(self, input_ids, attention_mask):
        prompt = self.prompt.expand(input_ids.size(0), -1, -1)
        embeds = torch.cat([prompt, self.embed(input_ids)], dim=1)
        return embeds, torch.cat([torch.ones_like(attention_mask[:, :1]).expand(-1, prompt.size(1)),
                                  attention_mask], dim=1)  # fmt: skip


soft = SoftPrompt(model)
optimizer = torch.optim.Adam([soft.prompt], lr=0.01)
text = tok("The weather today is sunny.", return_tensors="pt")
for _ in range(2):
    embeds, mask = soft(**text)
    labels = torch.cat([torch.full((1, 5), -100), text["input_ids"]], dim=1)
    loss = model(inputs_embeds=embeds, attention_mask=mask, labels=labels).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print("loss", loss.item())
with torch.no_grad():
    embeds, mask = soft(**tok("The weather today", return_tensors="pt"))
out = model.generate(inputs_embeds=embeds, attention_mask=mask, max_new_tokens=10)
print(tok.decode(out[0], skip_special_tokens=True))
