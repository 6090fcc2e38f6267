"""The log-probability of an answer, for a preference loss: should there be a sum in it?"""

import torch

import llmcourse

model, tok = llmcourse.load()


def get_batch_logps(logits, labels, average_log_prob=False):
    labels = labels[:, 1:].clone()
    logits = logits[:, :-1, :]
    loss_mask = labels != -100
    labels[labels == -100] = 0
    per_token = torch.gather(logits.log_softmax(-1), 2, labels.unsqueeze(2)).squeeze(2)
    if average_log_prob:
        return (per_token * loss_mask).sum(-1) / loss_mask.sum(-1)
    return (per_token * loss_mask).sum(-1)


def score(question, answers):
    prompt = tok.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
    )
    ends = tok([answer + tok.eos_token for answer in answers], add_special_tokens=False)
    rows = [prompt + end for end in ends["input_ids"]]
    width = max(len(row) for row in rows)
    ids = torch.tensor([row + [tok.pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, : len(prompt)] = -100
    with torch.no_grad():
        return get_batch_logps(model(input_ids=ids, attention_mask=mask).logits, labels)


answers = ["The capital of France is Paris.", "Soup."]
chosen, rejected = score("What is the capital of France?", answers)
print("chosen", chosen.item(), "rejected", rejected.item())
