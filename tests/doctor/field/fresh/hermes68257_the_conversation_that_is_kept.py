"""An endpoint keeps each conversation on the server; by the fourth turn it is far too long."""

import llmcourse

model, tok = llmcourse.load()
SYSTEM = {"role": "system", "content": "You answer in one word."}


def run_agent(history, user):
    messages = [SYSTEM] + [m for m in history if m["role"] != "system"] + [user]
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return inputs["input_ids"].shape[1], messages + [{"role": "assistant", "content": text}]


class Responses:
    def __init__(self):
        self.history = []

    def create(self, text):
        user = {"role": "user", "content": text}
        length, messages = run_agent(self.history, user)
        expected = self.history + [user]
        if messages[: len(expected)] == expected:
            self.history = messages
        else:
            self.history = self.history + [user] + messages
        return length, messages[-1]["content"]


responses = Responses()
for question in ("What is 2 + 2?", "And twice that?", "And that less one?", "And plus ten?"):
    print(responses.create(question), "messages kept:", len(responses.history))
