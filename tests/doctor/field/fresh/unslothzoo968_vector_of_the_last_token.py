"""Sentence vectors by the last token; short sentences come out strange in a batch."""

import torch

import llmcourse

model, tok = llmcourse.load()


def pool(hidden_states, attention_mask, mode="lasttoken"):
    mask = attention_mask.to(hidden_states.dtype)
    if mode == "mean":
        return (hidden_states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    last_index = (attention_mask.sum(1) - 1).clamp(min=0)
    return hidden_states[torch.arange(len(hidden_states)), last_index]


@torch.no_grad()
def embed(sentences, mode="lasttoken"):
    batch = tok(sentences, padding=True, return_tensors="pt")
    hidden = model.model(**batch).last_hidden_state
    return torch.nn.functional.normalize(pool(hidden, batch["attention_mask"], mode), dim=-1)


sentences = [
    "The cat sleeps.",
    "The cat is asleep.",
    "The parliament has voted on the new law about the taxes on imported steel tonight.",
]
together = embed(sentences)
alone = torch.cat([embed([sentence]) for sentence in sentences])
print("in a batch, against alone:", (together * alone).sum(-1).tolist())
print("first against second:", (together[0] @ together[1]).item())
