"""Rollouts of an actor on a batch of prompts: the answers have nothing to do with the questions."""

import torch

import llmcourse


class Actor(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    @torch.no_grad()
    def generate(self, batch, max_new_tokens):
        width = batch["input_ids"].shape[1]
        made = self.model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
        return made[:, width:]


model, tokenizer = llmcourse.load()
tokenizer.pad_token = tokenizer.eos_token
tokenizer.padding_side = "right"


def tokenize_fn(texts):
    chats = [[{"role": "user", "content": text}] for text in texts]
    rendered = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
    return tokenizer(
        rendered,
        return_tensors="pt",
        max_length=80,
        padding="max_length",
        truncation=True,
        add_special_tokens=False,
    )


actor = Actor(model).eval()
questions = ["What is the capital of France?", "Which animal barks?", "What do bees make?"]
answers = actor.generate(tokenize_fn(questions), max_new_tokens=20)
for question, ids in zip(questions, answers):
    print(question, "->", repr(tokenizer.decode(ids, skip_special_tokens=True)))
