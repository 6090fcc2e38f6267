"""Labels for a conversation: the marks of the questions are learned, the questions are not."""

import torch

import llmcourse

model, tok = llmcourse.load()
START, END = tok.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
NEWLINE = tok("\n").input_ids


def build(messages):
    input_ids, labels = [], []
    for message in messages:
        role = tok(message["role"]).input_ids + NEWLINE
        content = tok(message["content"]).input_ids
        learned = content if message["role"] == "assistant" else [-100] * len(content)
        input_ids += [START, *role, *content, END, *NEWLINE]
        labels += [START, *[-100] * len(role), *learned, END, *NEWLINE]
    return torch.tensor([input_ids]), torch.tensor([labels])


messages = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Is ice cold?"},
    {"role": "assistant", "content": "Yes, it is."},
    {"role": "user", "content": "Is fire cold?"},
    {"role": "assistant", "content": "No, it is hot."},
]
input_ids, labels = build(messages)
assert input_ids[0].tolist() == tok.apply_chat_template(messages, return_dict=True)["input_ids"]
loss = model(input_ids, labels=labels).loss
loss.backward()
print(repr(tok.decode(labels[labels != -100])), loss.item())
