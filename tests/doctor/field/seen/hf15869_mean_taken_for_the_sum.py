"""Beam scores against the sum of the transition scores: they should agree, and do not."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The president of the club is", return_tensors="pt")
made = model.generate(
    **inputs,
    num_beams=3,
    num_return_sequences=3,
    max_new_tokens=10,
    output_scores=True,
    return_dict_in_generate=True,
)
steps = model.compute_transition_scores(made.sequences, made.scores, made.beam_indices)
print("of the sequence:", made.sequences_scores.exp().tolist())
print("of its tokens:  ", steps.sum(dim=1).exp().tolist())
