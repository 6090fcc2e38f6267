"""Log-probabilities of a whole tail, with what a tool has said in it: is that not too much?"""

import torch

import llmcourse

model, tok = llmcourse.load()


def compute_log_prob(input_ids, attention_mask, responses):
    response_length = responses.shape[1]
    logits = model(input_ids, attention_mask=attention_mask).logits.float()
    log_probs = logits[:, -response_length - 1 : -1].log_softmax(-1)
    return log_probs.gather(-1, responses[..., None]).squeeze(-1)


def policy_loss(old, new, advantages, response_mask):
    ratio = torch.exp(new - old)
    clipped = ratio.clamp(0.8, 1.2)
    losses = -torch.min(ratio * advantages, clipped * advantages)
    return (losses * response_mask).sum() / response_mask.sum()


def ids(text):
    return tok(text, return_tensors="pt").input_ids


prompt = ids("What is 17 times 23? You may use the calculator.\n")
parts = [(ids("calculator(17 * 23)"), 1), (ids("\n>>> 391\n"), 0), (ids("It is 391."), 1)]
responses = torch.cat([part for part, _ in parts], dim=1)
response_mask = torch.cat([torch.full_like(part, ours) for part, ours in parts], dim=1)
input_ids = torch.cat([prompt, responses], dim=1)
attention_mask = torch.ones_like(input_ids)
with torch.no_grad():
    old = compute_log_prob(input_ids, attention_mask, responses)
new = compute_log_prob(input_ids, attention_mask, responses)
loss = policy_loss(old, new, torch.ones_like(old), response_mask)
loss.backward()
print("loss:", loss.item(), "of", int(response_mask.sum()), "tokens of", responses.shape[1])
