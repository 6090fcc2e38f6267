"""Prompt and completion encoded one by one and joined, the completion without special tokens."""

import torch

import llmcourse

model, tok = llmcourse.load()


def tokenize(prompt, completion):
    prompt_ids = tok.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    completion_ids = tok(completion + tok.eos_token, add_special_tokens=False).input_ids
    return {
        "input_ids": torch.tensor([prompt_ids + completion_ids]),
        "labels": torch.tensor([[-100] * len(prompt_ids) + completion_ids]),
    }


@torch.no_grad()
def loss(prompt, completion):
    row = tokenize(prompt, completion)
    mask = torch.ones_like(row["input_ids"])
    return model(**row, attention_mask=mask).loss.item()


question = "What is the capital of France?"
for completion in ("The capital of France is Paris.", "The capital of France is Rome."):
    print(completion, round(loss(question, completion), 3))
