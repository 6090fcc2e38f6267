"""Samples are taken in evaluation mode, and the step after them is made in training mode."""

from contextlib import contextmanager

import torch

import llmcourse


@contextmanager
def unwrap_model_for_generation(model):
    was_training = model.training
    model.eval()
    try:
        yield model
    finally:
        model.train(was_training)


class Trainer:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def sample(self, inputs):
        with unwrap_model_for_generation(self.model) as model:
            return model.generate(**inputs, do_sample=True, top_k=0, max_new_tokens=32)

    def step(self, question, reward):
        inputs = self.tok.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        ids = self.sample(inputs)
        start = inputs["input_ids"].shape[1]
        logits = self.model(ids).logits[:, start - 1 : -1]
        chosen = logits.log_softmax(-1).gather(-1, ids[:, start:, None]).squeeze(-1)
        loss = -reward * chosen.sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return self.model.training, loss.item()


torch.manual_seed(0)
model, tok = llmcourse.load()
model.train()
print(Trainer(model, tok).step("What is the capital of France?", reward=1.0))
