"""The policy has not been trained for a single step: how can it be so far from its own rollout?"""

import torch

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def token_log_probs(ids):
    logits = model(ids).logits[:, :-1].log_softmax(-1)
    return logits.gather(-1, ids[:, 1:, None]).squeeze(-1)


@torch.no_grad()
def write(ids, steps=6):
    mask = torch.ones_like(ids)
    made = model.generate(ids, attention_mask=mask, max_new_tokens=steps, do_sample=False)
    return made[:, ids.shape[1] :]


prompt = tok(
    "User: what is 17 times 23?\nAssistant: I will ask the calculator:", return_tensors="pt"
)
call = write(prompt.input_ids)
result = tok(
    "\nCalculator >>> 391 (exit code 0, took 3ms)\nAssistant:", return_tensors="pt"
).input_ids
answer = write(torch.cat([prompt.input_ids, call, result], dim=1))
responses = torch.cat([call, result, answer], dim=1)
input_ids = torch.cat([prompt.input_ids, responses], dim=1)
attention_mask = torch.ones_like(input_ids)

response_length = responses.shape[1]
actor = token_log_probs(input_ids)[:, -response_length:]
rollout = torch.zeros_like(actor)  # log-probabilities that came with the sampled tokens
rollout[:, : call.shape[1]] = actor[:, : call.shape[1]]
rollout[:, -answer.shape[1] :] = actor[:, -answer.shape[1] :]

response_mask = attention_mask[:, -response_length:].bool()
diff = (actor.exp() - rollout.exp()).abs()[response_mask]
print("difference of the probabilities: mean", diff.mean().item(), "max", diff.max().item())
