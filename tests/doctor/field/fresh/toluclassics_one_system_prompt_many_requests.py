"""Requests of different users share a system prompt; what was computed for it is kept."""

import llmcourse

model, tok = llmcourse.load()
SYSTEM = {"role": "system", "content": "You answer briefly. The shop opens at nine."}


class Service:
    def __init__(self):
        self.past_key_values = None

    def answer(self, question):
        messages = [SYSTEM, {"role": "user", "content": question}]
        inputs = tok.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        out = model.generate(
            **inputs,
            past_key_values=self.past_key_values,
            max_new_tokens=20,
            do_sample=False,
            return_dict_in_generate=True,
        )
        self.past_key_values = out.past_key_values
        new = out.sequences[0, inputs["input_ids"].shape[1] :]
        return tok.decode(new, skip_special_tokens=True)


service = Service()
for question in (
    "My name is Robert. Hi!",
    "I am somebody else, and I would like to know three things about the shop, which are its "
    "opening hours, its address and its telephone number. When does the shop open?",
):
    print(repr(service.answer(question)))
