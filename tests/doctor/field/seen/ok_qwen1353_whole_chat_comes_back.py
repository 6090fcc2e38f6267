"""The pipeline's chat goes back into the same name, and the next question is appended to it."""

from transformers import pipeline

import llmcourse


class Chat:
    def __init__(self, system, **settings):
        model, tok = llmcourse.load()
        self.generator = pipeline("text-generation", model=model, tokenizer=tok)
        self.settings = settings
        self.messages = [{"role": "system", "content": system}]

    def ask(self, question):
        self.messages.append({"role": "user", "content": question})
        self.messages = self.generator(self.messages, **self.settings)[0]["generated_text"]
        return self.messages[-1]["content"]


chat = Chat("Answer in one short sentence.", max_new_tokens=32, do_sample=False)
print(chat.ask("What is the capital of France?"))
print(chat.ask("And of Italy?"))
print([message["role"] for message in chat.messages])
