"""Sampled with the graph kept: a reward for even numbers, and the loop is what is learned from."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=16,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    )
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)


def sample(rows, new):
    ids, logps = torch.ones(rows, 1, dtype=torch.long), []
    for _ in range(new):
        scores = model(ids).logits[:, -1].log_softmax(-1)
        token = torch.multinomial(scores.detach().exp(), 1)
        logps.append(scores.gather(1, token))
        ids = torch.cat([ids, token], dim=1)
    return ids[:, 1:], torch.cat(logps, dim=1)


for step in range(31):
    tokens, logps = sample(16, 6)
    reward = (tokens % 2 == 0).float().mean(1)
    loss = -((reward - reward.mean())[:, None] * logps).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        print(step, reward.mean().item())
