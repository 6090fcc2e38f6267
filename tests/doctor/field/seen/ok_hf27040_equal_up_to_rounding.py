"""With the cache and without: the logits differ a little, by rounding, and that is all right."""

import torch

import llmcourse

model, tok = llmcourse.load()
seq = tok("One two three four five six seven eight", return_tensors="pt").input_ids
with torch.no_grad():
    original = model(input_ids=seq).logits
    past = model(input_ids=seq[:, :5], use_cache=True).past_key_values
    new = model(input_ids=seq[:, 5:], past_key_values=past).logits
difference = (original[:, 5:] - new).abs().max().item()
print(difference, torch.allclose(original[:, 5:], new, atol=1e-3))
