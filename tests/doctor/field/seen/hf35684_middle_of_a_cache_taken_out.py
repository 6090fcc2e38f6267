"""To save memory, the cache of the prompt and of the last turn are joined: answers go astray."""

import torch
from transformers import DynamicCache

import llmcourse

model, tok = llmcourse.load()


def turn(user, assistant):
    said = f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n{assistant}"
    return tok(said, return_tensors="pt").input_ids


prompt = tok("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n", return_tensors="pt")
first, old = prompt.input_ids, turn("Where is Rome?", "In Italy, on the Tiber.<|im_end|>\n")
last = turn("What is the capital of France?", "The capital of France is Paris.<|im_end|>\n")
now = turn("And of Spain?", "")
joined, n, m = DynamicCache(config=model.config), first.shape[1], last.shape[1]
with torch.no_grad():
    cache = model(torch.cat([first, old, old, old, old, last], dim=1)).past_key_values
for index, layer in enumerate(cache.layers):
    keys = torch.cat([layer.keys[:, :, :n], layer.keys[:, :, -m:]], dim=2)
    values = torch.cat([layer.values[:, :, :n], layer.values[:, :, -m:]], dim=2)
    joined.update(keys, values, index)
ids = torch.cat([first, last, now], dim=1)
made = model.generate(
    ids, attention_mask=torch.ones_like(ids), past_key_values=joined, max_new_tokens=24
)
print(tok.decode(made[0, ids.shape[1] :]))
