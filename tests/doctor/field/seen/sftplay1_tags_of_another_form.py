"""Inference after a fine-tuning on chats; the answers stop nowhere."""

import llmcourse

model, tok = llmcourse.load()
GENERATION = {"max_new_tokens": 40, "do_sample": False}


class ChatInference:
    def __init__(self, model, tok, system="You are a helpful assistant."):
        self.model, self.tok, self.system = model, tok, system

    def build_prompt(self, user):
        return f"<|system|>\n{self.system}\n<|user|>\n{user}\n<|assistant|>\n"

    def clean(self, text):
        for tag in ("<|assistant|>", "<|user|>", "<|system|>"):
            text = text.split(tag)[0]
        return text.strip()

    def __call__(self, user):
        inputs = self.tok(self.build_prompt(user), return_tensors="pt")
        made = self.model.generate(**inputs, **GENERATION)
        new = made[0, inputs.input_ids.shape[1] :]
        return self.clean(self.tok.decode(new, skip_special_tokens=True))


chat = ChatInference(model, tok)
for question in ("What is the capital of Italy? One word.", "Say hello."):
    print(repr(chat(question)))
