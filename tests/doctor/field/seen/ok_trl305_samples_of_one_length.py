"""Rollouts of one length from the unfiltered distribution: the end token never comes."""

import torch

import llmcourse

torch.manual_seed(0)
model, tok = llmcourse.load()
generation_kwargs = {
    "top_k": 0,
    "top_p": 1.0,
    "do_sample": True,
    "pad_token_id": tok.pad_token_id,
    "eos_token_id": 100_000,
    "max_new_tokens": 24,
}
query = tok("In Python, a list is sorted by", return_tensors="pt")
response = model.generate(**query, **generation_kwargs)[:, query.input_ids.shape[1] :]
assert response.shape[1] == 24
print(tok.decode(response[0]))
