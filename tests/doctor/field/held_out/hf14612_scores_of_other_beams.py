"""How likely is the text that beam search found? Some of its tokens seem all but impossible."""

import torch

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The best way to learn a language is", return_tensors="pt")
made = model.generate(
    **inputs,
    num_beams=4,
    num_return_sequences=4,
    max_new_tokens=12,
    output_scores=True,
    return_dict_in_generate=True,
)
new = made.sequences[:, inputs.input_ids.shape[1] :]
probabilities = torch.stack(made.scores, dim=1).softmax(-1)
of_tokens = probabilities[:, : new.shape[1]].gather(2, new.unsqueeze(-1)).squeeze(-1)
for row, found in zip(new, of_tokens, strict=True):
    print(f"{found.prod().item():.2e}", f"{found.min().item():.2e}", tok.decode(row))
