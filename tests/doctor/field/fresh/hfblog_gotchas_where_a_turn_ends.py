"""Labels for fine-tuning on chats of different lengths; what is learned about the end of a turn?"""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "right"
CHATS = [
    [
        {"role": "user", "content": "What is better than ugly?"},
        {"role": "assistant", "content": "Beautiful."},
    ],
    [
        {"role": "user", "content": "And than implicit?"},
        {"role": "assistant", "content": "Explicit is better than implicit, as the poem has it."},
    ],
]


def collate(chats):
    batch = tok.apply_chat_template(chats, padding=True, return_tensors="pt", return_dict=True)
    labels = batch["input_ids"].clone()
    labels[labels == tok.pad_token_id] = -100
    batch["labels"] = labels
    return batch


batch = collate(CHATS)
with torch.no_grad():
    print("loss", model(**batch).loss.item())
end = tok.convert_tokens_to_ids("<|im_end|>")
texts = tok.apply_chat_template(CHATS, tokenize=False)
print("ends of turns in the texts:", sum(text.count("<|im_end|>") for text in texts))
print("ends of turns in the labels:", (batch["labels"] == end).sum().item())
