"""Two marks of our own for the vocabulary of a tokenizer; the forward pass ends with an error."""

import torch

import llmcourse

model, tokenizer = llmcourse.load()
tokenizer.add_tokens(["<customer>", "<agent>"])
print("vocabulary of the model:", model.config.vocab_size, "of the tokenizer:", len(tokenizer))


def next_word(text):
    encoded = tokenizer(text, return_tensors="pt")
    print("largest id:", encoded["input_ids"].max().item())
    with torch.no_grad():
        output = model(**encoded)
    return tokenizer.decode(output.logits[0, -1].argmax())


for text in ("Hello, world", "<customer> Hello, I have a question about my"):
    print(repr(next_word(text)))
