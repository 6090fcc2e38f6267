"""A loop with the past: strange words, and from some length on it fails."""

import torch

import llmcourse

model, tok = llmcourse.load()
inputs = {"input_ids": tok("The history of Rome begins", return_tensors="pt").input_ids}
with torch.no_grad():
    past = None
    for _ in range(12):
        out = model(**inputs, past_key_values=past, use_cache=True)
        logits, past = out.logits[0, -1], out.past_key_values
        token = logits.argmax().view(1, 1)
        inputs = {"input_ids": torch.cat([inputs["input_ids"], token], dim=1)}
print(past.get_seq_length(), tok.decode(inputs["input_ids"][0]))
