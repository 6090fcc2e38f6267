"""Pairs of a chosen and a rejected answer, tokenized for a reward and compared."""

import torch

import llmcourse

model, tok = llmcourse.load()


def tokenize(example):
    chosen_input_ids = tok.apply_chat_template(example["chosen"])
    rejected_input_ids = tok.apply_chat_template(example["rejected"])
    return {"chosen_input_ids": chosen_input_ids, "rejected_input_ids": rejected_input_ids}


class Collator:
    def __call__(self, examples):
        names = ("chosen_input_ids", "rejected_input_ids")
        tensors = [torch.tensor(example[name]) for name in names for example in examples]
        mask = [torch.ones_like(row) for row in tensors]
        pad = lambda rows, value: torch.nn.utils.rnn.pad_sequence(rows, True, value)  # noqa: E731
        return {"input_ids": pad(tensors, tok.pad_token_id), "attention_mask": pad(mask, 0)}


question = {"role": "user", "content": "What is the capital of France?"}
pairs = [
    {
        "chosen": [question, {"role": "assistant", "content": "It is Paris."}],
        "rejected": [question, {"role": "assistant", "content": "It is a purple cow."}],
    }
]
batch = Collator()([tokenize(pair) for pair in pairs])
with torch.no_grad():
    logps = model(**batch).logits[:, :-1].log_softmax(-1)
picked = logps.gather(-1, batch["input_ids"][:, 1:, None]).squeeze(-1)
print((picked * batch["attention_mask"][:, 1:]).sum(-1))
