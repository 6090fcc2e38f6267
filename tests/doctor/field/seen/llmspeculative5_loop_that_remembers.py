"""A loop that keeps what the model has computed: after the first words it writes something else."""

import torch

import llmcourse


def pick(logits, temperature=0.0):
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    return torch.multinomial((logits / temperature).softmax(-1), 1)


@torch.no_grad()
def autoregressive_sampling(x, model, steps, temperature=0.0, remember=True):
    past_key_values = None
    for _ in range(steps):
        outputs = model(x, past_key_values=past_key_values)
        if remember:
            past_key_values = outputs.past_key_values
        x = torch.cat((x, pick(outputs.logits[:, -1, :], temperature)), dim=1)
    return x


model, tok = llmcourse.load()
prompt = tok("The quick brown fox jumps over the", return_tensors="pt").input_ids
for remember in (False, True):
    made = autoregressive_sampling(prompt, model, 16, remember=remember)
    print(remember, repr(tok.decode(made[0])))
