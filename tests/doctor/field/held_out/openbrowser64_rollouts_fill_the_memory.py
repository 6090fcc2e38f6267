"""Reinforcement learning: the memory is full before the first update of the policy."""

import resource

import torch

import llmcourse

policy, tok = llmcourse.load()
tok.chat_template = None
GROUP, STEPS = 3, 8


def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def rollout(prompt):
    encoded = tok(prompt, return_tensors="pt", truncation=True, max_length=128)
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    action, cache, trajectory = ids, None, []
    for _ in range(STEPS):
        out = policy(input_ids=action, attention_mask=mask, past_key_values=cache, use_cache=True)
        cache, logits = out.past_key_values, out.logits[:, -1]
        action = torch.multinomial(logits.softmax(dim=-1), 1)
        trajectory.append({"action": action, "logits": logits})
        ids = torch.cat([ids, action], dim=1)
        mask = torch.cat([mask, torch.ones_like(action)], dim=1)
    return ids, trajectory


def reward(ids):
    return float("button" in tok.decode(ids[0]))


group = []
print("at the start:", megabytes(), "MB")
for i in range(GROUP):
    group.append(rollout("To send the form, click on the"))
    print("rollouts:", i + 1, "-", megabytes(), "MB")
rewards = torch.tensor([reward(ids) for ids, _ in group])
print("advantages:", (rewards - rewards.mean()).tolist())
