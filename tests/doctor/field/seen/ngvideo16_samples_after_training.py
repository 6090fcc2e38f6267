"""A small model knows its alphabet by heart after training, and its samples have holes."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
text = torch.tensor([[ord(letter) - 96 for letter in LETTERS * 2]])
model = GPT2LMHeadModel(
    GPT2Config(
        vocab_size=27,
        n_positions=64,
        n_embd=48,
        n_layer=2,
        n_head=4,
        resid_pdrop=0.5,
        embd_pdrop=0.5,
        attn_pdrop=0.5,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
model.train()
for _ in range(350):
    loss = model(text, labels=text).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print("loss:", loss.item())
start = text[:, :1]
for _ in range(3):
    made = model.generate(
        start, attention_mask=torch.ones_like(start), max_new_tokens=25, do_sample=True, top_k=0
    )
    print("".join(chr(96 + i) for i in made[0].tolist()))
