"""A chat interface whose second answer does not appear."""

import llmcourse

model, tok = llmcourse.load()


def generate(prompt, chat_history):
    chat_history = chat_history or []
    messages = []
    for question, answer in chat_history:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    messages.append({"role": "user", "content": prompt})
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**inputs, max_new_tokens=20, do_sample=False)
    output = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    if not chat_history:
        return output
    return chat_history.append((prompt, output))


class ChatInterface:
    def __init__(self, fn):
        self.fn, self.history = fn, []

    def submit(self, text):
        answer = self.fn(text, list(self.history))
        self.history.append((text, answer))
        return answer


chat = ChatInterface(generate)
print(chat.submit("What is the capital of France?"))
print(chat.submit("And of Italy?"))
