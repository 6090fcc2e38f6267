"""Padding with the end-of-sequence token: does it change the loss and the answers of a batch?"""

import torch

import llmcourse

model, tokenizer = llmcourse.load()
tokenizer.pad_token = tokenizer.eos_token


def training_batch(texts):
    tokenizer.padding_side = "right"
    ended = [text + tokenizer.eos_token for text in texts]
    batch = tokenizer(ended, padding=True, return_tensors="pt")
    batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    return batch


def answers(questions):
    tokenizer.padding_side = "left"
    chats = [[{"role": "user", "content": question}] for question in questions]
    inputs = tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**inputs, max_new_tokens=16, do_sample=False)
    return tokenizer.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


texts = ["The owl hunts at night.", "Bees."]
with torch.no_grad():
    together = model(**training_batch(texts))
    one = [model(**training_batch([text])) for text in texts]
counts = [(training_batch([text])["labels"][:, 1:] != -100).sum() for text in texts]
weighted = sum(out.loss * n for out, n in zip(one, counts)) / sum(counts)
print("loss of the batch", together.loss.item(), "of the texts alone", weighted.item())
questions = ["What do bees make?", "What is the capital of France, the country in Europe?"]
print(answers(questions), [answers([question])[0] for question in questions])
