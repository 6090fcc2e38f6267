"""The last layer's states of all steps, put together: one for each token but the last."""

import torch

import llmcourse

model, tok = llmcourse.load()


def generate_with_states(question, max_new_tokens=15):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    outputs = model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        output_hidden_states=True,
        return_dict_in_generate=True,
    )
    last_layer = [step[-1] for step in outputs.hidden_states]
    return outputs.sequences[:, :-1], torch.cat(last_layer, dim=1)


ids, states = generate_with_states("Why is the sky blue?")
with torch.no_grad():
    again = model(ids, output_hidden_states=True).hidden_states[-1]
print(ids.shape, states.shape, torch.allclose(states, again, atol=1e-3))
for token, state in zip(ids[0, -5:], states[0, -5:]):
    print(repr(tok.decode(token)), round(state.norm().item(), 2))
