"""An evaluation at temperature zero gives other answers each time that it runs."""

import torch

import llmcourse


class Chat:
    def __init__(self, temperature, max_new_tokens=16):
        self.model, self.tokenizer = llmcourse.load()
        self.temperature, self.max_new_tokens = temperature, max_new_tokens

    def generate_output(self, question):
        messages = [{"role": "user", "content": question}]
        inputs = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        do_sample = False if self.temperature else True
        settings = {"temperature": self.temperature} if self.temperature else {}
        with torch.no_grad():
            made = self.model.generate(
                **inputs, max_new_tokens=self.max_new_tokens, do_sample=do_sample, **settings
            )
        new = made[0, inputs["input_ids"].shape[1] :]
        return self.tokenizer.decode(new, skip_special_tokens=True)


for temperature in (0, 0.9):
    chat = Chat(temperature)
    for _ in range(2):
        print(temperature, repr(chat.generate_output("Name a symptom of a cold.")))
