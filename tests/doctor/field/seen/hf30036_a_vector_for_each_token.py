"""The last layer's vectors, one for each token: one too few, and the first has another shape."""

import torch

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The largest planet is", return_tensors="pt")
made = model.generate(
    **inputs, max_new_tokens=10, output_hidden_states=True, return_dict_in_generate=True
)
steps = [step[-1][0] for step in made.hidden_states]
vectors = torch.cat(steps)
print(made.sequences.shape[1], "tokens,", len(vectors), "vectors")
new = made.sequences[0, inputs.input_ids.shape[1] :]
for token, vector in zip(new, steps, strict=True):  # the token, and its own vector
    print(repr(tok.decode(token)), tuple(vector.shape), round(vector[-1].norm().item(), 1))
