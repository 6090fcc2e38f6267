"""A smaller copy of a model against the model itself: the loss of both on the same texts."""

import copy

import torch
import torch.nn.functional as F

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


def rounded(model, steps=8):
    small = copy.deepcopy(model)
    with torch.no_grad():
        for layer in small.model.layers:
            weight = layer.mlp.down_proj.weight
            scale = weight.abs().max() / steps
            weight.copy_((weight / scale).round() * scale)
    return small


@torch.no_grad()
def evaluate(model, texts):
    total, count = 0.0, 0
    for text in texts:
        ids = tok(text, return_tensors="pt").input_ids
        output = model(ids).logits[:, :-1]
        labels = ids[:, 1:]
        total += F.cross_entropy(output.flatten(0, 1), labels.flatten(), reduction="sum").item()
        count += labels.numel()
    return total / count


texts = ["The cat sat on the mat.", "Rivers run to the sea, and clouds bring the water back."]
print("before", evaluate(model, texts))
print("after", evaluate(rounded(model), texts))
