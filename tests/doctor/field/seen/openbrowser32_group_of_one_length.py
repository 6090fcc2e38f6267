"""Log-probabilities of a group of answers, for a policy gradient."""

import torch

import llmcourse

model, tok = llmcourse.load()


def rollout(question, group_size, max_new_tokens=30):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    torch.manual_seed(0)
    sequences = model.generate(
        **inputs,
        do_sample=True,
        num_return_sequences=group_size,
        max_new_tokens=max_new_tokens,
    )
    return sequences, inputs["input_ids"].shape[1]


def response_log_probs(sequences, prompt_length):
    longest = max(seq.shape[0] for seq in sequences)
    padded = torch.zeros(len(sequences), longest, dtype=torch.long)
    attention_mask = torch.zeros(len(sequences), longest, dtype=torch.long)
    for j, seq in enumerate(sequences):
        padded[j, : seq.shape[0]] = seq
        attention_mask[j, : seq.shape[0]] = 1
    with torch.no_grad():
        logits = model(input_ids=padded, attention_mask=attention_mask).logits
    log_probs = logits[:, :-1].log_softmax(-1).gather(-1, padded[:, 1:, None]).squeeze(-1)
    mask = attention_mask[:, 1:].clone()
    mask[:, : prompt_length - 1] = 0
    return (log_probs * mask).sum(-1) / mask.sum(-1), mask.sum(-1)


sequences, prompt_length = rollout("Is water wet? Answer with yes or no.", group_size=4)
print(tok.batch_decode(sequences[:, prompt_length:]))
print(response_log_probs(sequences, prompt_length))
