"""Hidden states for a control vector: they depend on what else is in the batch."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "right"


@torch.no_grad()
def batched_hiddens(texts, layers, size):
    hiddens = {layer: [] for layer in layers}
    for start in range(0, len(texts), size):
        batch = tok(texts[start : start + size], padding=True, return_tensors="pt")
        out = model(**batch, output_hidden_states=True)
        for layer in layers:
            hiddens[layer].append(out.hidden_states[layer][:, -1])
    return {layer: torch.cat(found) for layer, found in hiddens.items()}


texts = ["I am happy", "I am sad", "I am as happy as one can be on a day like this"]
alone = batched_hiddens(texts, (10, 20), 1)
batch = batched_hiddens(texts, (10, 20), 3)
for layer in alone:
    print(layer, torch.cosine_similarity(alone[layer], batch[layer]).tolist())
