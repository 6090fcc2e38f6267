"""Another thought is put at a place of the prompt: one pass is fine, generating fails."""

import torch

import llmcourse

model, tok = llmcourse.load()
LAYER, PLACE = 12, 3
source = tok("The capital of Italy is", return_tensors="pt")
target = tok("The capital of France is", return_tensors="pt")
with torch.no_grad():
    thought = model(**source, output_hidden_states=True).hidden_states[LAYER + 1][:, PLACE]


def patch(module, args, output):
    hidden = output[0] if isinstance(output, tuple) else output
    hidden[:, PLACE] = thought
    return output


handle = model.model.layers[LAYER].register_forward_hook(patch)
try:
    with torch.no_grad():
        best = model(**target).logits[0, -1].argmax()
    print("one pass:", tok.decode(best))
    made = model.generate(**target, max_new_tokens=8, do_sample=False)
    print(tok.decode(made[0]))
finally:
    handle.remove()
