"""Sentence vectors by the last token, whatever the side of the padding."""

import torch

import llmcourse

model, tokenizer = llmcourse.load()


def last_pooling(last_hidden_state, attention_mask):
    left_padding = attention_mask[:, -1].sum() == attention_mask.shape[0]
    if left_padding:
        return last_hidden_state[:, -1]
    lengths = attention_mask.sum(dim=1) - 1
    return last_hidden_state[torch.arange(len(lengths)), lengths]


@torch.no_grad()
def embed(sentences):
    inputs = tokenizer(sentences, padding=True, return_tensors="pt")
    hidden = model.model(**inputs).last_hidden_state
    vectors = last_pooling(hidden, inputs["attention_mask"])
    return torch.nn.functional.normalize(vectors, dim=-1)


sentences = ["The cat sleeps.", "A law on imported steel was passed in the parliament."]
alone = torch.cat([embed([sentence]) for sentence in sentences])
for side in ("left", "right"):
    tokenizer.padding_side = side
    print(side, (embed(sentences) * alone).sum(-1).tolist())
