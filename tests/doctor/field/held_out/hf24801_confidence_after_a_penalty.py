"""compute_transition_scores and a forward pass by hand disagree about the same tokens."""

import torch

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The rain in Spain falls in Spain, and the rain in", return_tensors="pt")
made = model.generate(
    **inputs,
    max_new_tokens=6,
    repetition_penalty=1.3,
    output_scores=True,
    return_dict_in_generate=True,
)
scored = model.compute_transition_scores(made.sequences, made.scores, normalize_logits=True)
with torch.no_grad():
    logits = model(made.sequences).logits[0, inputs.input_ids.shape[1] - 1 : -1].log_softmax(-1)
new = made.sequences[0, inputs.input_ids.shape[1] :]
print(scored[0].tolist(), logits.gather(-1, new[:, None])[:, 0].tolist())
