"""Very low log-probabilities at every position of a plain sentence."""

import torch

import llmcourse

model, tok = llmcourse.load()
inputs = tok("Hello, who are you? I am a language model.", return_tensors="pt")
with torch.no_grad():
    log_probs = model(**inputs).logits.log_softmax(-1)
per_token = log_probs.gather(-1, inputs.input_ids.unsqueeze(-1)).squeeze(-1)
print(per_token.mean().item(), per_token[0].tolist())
