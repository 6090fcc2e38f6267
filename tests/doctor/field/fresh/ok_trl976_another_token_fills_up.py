"""The end token of an answer has to be learned: what do the labels of the collator have?"""

import torch
from transformers import DataCollatorForLanguageModeling

import llmcourse

model, tokenizer = llmcourse.load()
tokenizer.pad_token = tokenizer.unk_token
tokenizer.padding_side = "right"
collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
answers = ["Yes.", "No, the owl hunts at night and sleeps during the day."]
batch = collator([tokenizer(answer + tokenizer.eos_token) for answer in answers])
for ids, labels in zip(batch["input_ids"], batch["labels"]):
    print(tokenizer.decode(ids), "| learned:", repr(tokenizer.decode(labels[labels != -100])))
with torch.no_grad():
    print("loss", model(**batch).loss.item())
