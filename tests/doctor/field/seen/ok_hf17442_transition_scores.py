"""Scores of the tokens that were chosen, greedy and without any processor."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60, output_scores=True, return_dict_in_generate=True)
scores = model.compute_transition_scores(made.sequences, made.scores, normalize_logits=True)
new = made.sequences[0, inputs["input_ids"].shape[1] :]
for token, score in zip(tok.convert_ids_to_tokens(new.tolist()), scores[0], strict=True):
    print(f"{token:12} {score.exp():.2%}")
