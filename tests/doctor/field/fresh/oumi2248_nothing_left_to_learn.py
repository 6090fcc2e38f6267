"""Loss on the answers only: for some conversations there is no loss at all."""

import torch

import llmcourse

model, tokenizer = llmcourse.load()


class CompletionCollator:
    def __init__(self, tokenizer, response_template, ignore_index=-100):
        self.tokenizer, self.ignore_index = tokenizer, ignore_index
        self.template = tokenizer.encode(response_template, add_special_tokens=False)

    def start_of_response(self, ids):
        width = len(self.template)
        for start in range(len(ids) - width, -1, -1):
            if ids[start : start + width] == self.template:
                return start + width
        return len(ids)

    def __call__(self, conversation):
        text = self.tokenizer.apply_chat_template(conversation, tokenize=False)
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        start = self.start_of_response(ids)
        labels = [self.ignore_index] * start + ids[start:]
        return {"input_ids": torch.tensor([ids]), "labels": torch.tensor([labels])}


collate = CompletionCollator(tokenizer, "<|im_start|>assistant\n")
for answer in ("Bees make honey.", "\n\nBees make honey."):
    question = {"role": "user", "content": "What do bees make?"}
    batch = collate([question, {"role": "assistant", "content": answer}])
    with torch.no_grad():
        loss = model(**batch).loss
    print(repr(answer), (batch["labels"] != -100).sum().item(), "tokens, loss", loss.item())
