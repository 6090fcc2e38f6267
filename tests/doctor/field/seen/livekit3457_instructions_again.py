"""A voice agent cuts its context to the last items, keeps its instructions: see what it sends."""

import llmcourse

model, tok = llmcourse.load()


class ChatContext:
    def __init__(self, items=()):
        self.items = list(items)

    def add(self, role, content):
        self.items.append({"role": role, "content": content})

    def truncate(self, max_items):
        instructions = next((item for item in self.items if item["role"] == "system"), None)
        items = self.items[-max_items:]
        while items and items[0]["role"] == "assistant":
            items.pop(0)
        if instructions:
            items.insert(0, instructions)
        self.items = items
        return self


def reply(context):
    inputs = tok.apply_chat_template(
        context.items, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**inputs, max_new_tokens=16, do_sample=False)
    return tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


context = ChatContext()
context.add("system", "You are a waiter. You answer in a few words.")
for said in ("Do you have soup?", "And what is the dessert?"):
    context.add("user", said)
    context.truncate(max_items=6)
    context.add("assistant", reply(context))
print(tok.apply_chat_template(context.items, tokenize=False))
