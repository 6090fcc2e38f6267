"""A small model is fine-tuned on complete sentences, and afterwards it never comes to an end."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import llmcourse

_, tok = llmcourse.load()
tok.chat_template = None
tok.pad_token = tok.eos_token


class Examples(torch.utils.data.Dataset):
    def __init__(self, texts, max_length=16):
        tok.padding_side = "right"
        self.rows = tok(
            [text + tok.eos_token for text in texts],
            padding="max_length",
            max_length=max_length,
            return_tensors="pt",
        )

    def __len__(self):
        return len(self.rows["input_ids"])

    def __getitem__(self, i):
        row = {name: values[i] for name, values in self.rows.items()}
        labels = row["input_ids"].clone()
        labels[labels == tok.pad_token_id] = -100
        return row | {"labels": labels}


torch.manual_seed(0)
shape = dict(n_embd=64, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2)
model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tok), pad_token_id=2, **shape))
loader = torch.utils.data.DataLoader(Examples(["Birds fly.", "Fish swim in the sea."]), 2)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
for _ in range(40):
    for batch in loader:
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
model.eval()
prompt = tok("Birds", return_tensors="pt")
print(repr(tok.decode(model.generate(**prompt, max_new_tokens=20, do_sample=False)[0])))
