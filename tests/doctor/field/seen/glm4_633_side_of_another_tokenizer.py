"""The side was set, and yet right padding is detected: the batch comes from a second tokenizer."""

from transformers import AutoTokenizer

import llmcourse

model, tokenizer = llmcourse.load()
tokenizer.padding_side = "left"


def collate(texts):
    own = AutoTokenizer.from_pretrained(model.name_or_path, padding_side="right")
    return own(texts, padding=True, return_tensors="pt")


batch = collate(["Say hello.", "Name three rivers in France, please, and where they end."])
made = model.generate(**batch, max_new_tokens=12)
print(tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True))
