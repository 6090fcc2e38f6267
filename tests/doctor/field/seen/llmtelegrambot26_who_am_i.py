"""The bot plays a pirate, and after some messages it has forgotten that."""

import llmcourse

model, tok = llmcourse.load()


class TelegramBot:
    def __init__(self, character, limit=120):
        self.limit = limit
        self.history = [{"role": "system", "content": character}]

    def prompt(self):
        options = dict(add_generation_prompt=True, return_tensors="pt", return_dict=True)
        inputs = tok.apply_chat_template(self.history, **options)
        while inputs["input_ids"].shape[1] > self.limit:
            self.history.pop(0)
            inputs = tok.apply_chat_template(self.history, **options)
        return inputs

    def answer(self, text):
        self.history.append({"role": "user", "content": text})
        inputs = self.prompt()
        made = model.generate(**inputs, max_new_tokens=25, do_sample=False)
        reply = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        self.history.append({"role": "assistant", "content": reply})
        return reply


bot = TelegramBot("You are Red Bill, a pirate of the seven seas. Speak like one.")
for text in ("What do you do all day?", "Have you a ship?", "Where do you sail?", "Who are you?"):
    print(text, "->", bot.answer(text))
print([message["role"] for message in bot.history])
