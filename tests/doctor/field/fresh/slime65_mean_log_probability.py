"""While training, the mean log-probability of the rollouts is logged; good answers look bad."""

import torch

import llmcourse

model, tok = llmcourse.load()


def make_rollout(question, answer):
    messages = [{"role": "user", "content": question}]
    prompt = tok.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    response = tok.encode(answer + tok.eos_token, add_special_tokens=False)
    return {
        "tokens": torch.tensor([prompt + response]),
        "loss_mask": torch.tensor([[0] * len(prompt) + [1] * len(response)]),
    }


@torch.no_grad()
def log_probs(rollout):
    logits = model(rollout["tokens"]).logits[:, :-1].float()
    targets = rollout["tokens"][:, 1:]
    return logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def log_rollout_data(step, rollouts):
    values = [log_probs(rollout).mean().item() for rollout in rollouts]
    print(f"step {step}: rollout/log_probs {sum(values) / len(values):.3f}")


question = "What is the capital of France? Think of its river and of its tower, then answer."
answers = ["The capital of France is Paris.", "Purple elephants vote in thin soup."]
for step, answer in enumerate(answers):
    print(answer)
    log_rollout_data(step, [make_rollout(question, answer)])
