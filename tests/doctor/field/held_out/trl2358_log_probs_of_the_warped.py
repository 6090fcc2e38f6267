"""Log-probabilities of the policy from generate's scores: far from those of a forward pass."""

import torch

import llmcourse

torch.manual_seed(0)
model, tok = llmcourse.load()
queries = tok(["My day was", "The film is"], padding=True, return_tensors="pt")
made = model.generate(
    **queries,
    max_new_tokens=8,
    do_sample=True,
    temperature=0.7,
    top_k=40,
    return_dict_in_generate=True,
    output_scores=True,
)
response = made.sequences[:, queries.input_ids.shape[1] :]
logits = torch.stack(made.scores, dim=1)
logprob = logits.log_softmax(-1).gather(2, response.unsqueeze(-1)).squeeze(-1)
print(logprob.sum(dim=1).tolist())
