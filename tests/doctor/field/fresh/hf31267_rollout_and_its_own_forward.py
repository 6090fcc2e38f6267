"""Ratio of the log-probabilities of a rollout to those of a forward pass with the same weights."""

import torch
from transformers import AutoModelForCausalLM

import llmcourse

_, tok = llmcourse.load()
model = AutoModelForCausalLM.from_pretrained(tok.name_or_path, dtype=torch.bfloat16).eval()
TEMPERATURE = 0.7


def gather(logits, ids):
    return logits.log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)


@torch.no_grad()
def rollout(prompt, length=32):
    inputs = tok(prompt, return_tensors="pt")
    out = model.generate(
        **inputs,
        max_new_tokens=length,
        min_new_tokens=length,
        do_sample=True,
        temperature=TEMPERATURE,
        top_k=0,
        return_dict_in_generate=True,
        output_logits=True,
    )
    new = out.sequences[:, inputs.input_ids.shape[1] :]
    generation = gather(torch.stack(out.logits, 1) / TEMPERATURE, new)
    logits = model(out.sequences).logits[:, inputs.input_ids.shape[1] - 1 : -1]
    return generation, gather(logits / TEMPERATURE, new)


torch.manual_seed(1)
old, new = rollout("Once upon a time there was a fox who")
ratio = (new - old).exp()
print("generation:", [round(x, 4) for x in old[0, :6].tolist()])
print("forward:   ", [round(x, 4) for x in new[0, :6].tolist()])
print("ratio, should be one: from", ratio.min().item(), "to", ratio.max().item())
print("clipped:", ((ratio - 1).abs() > 0.1).float().mean().item())
