"""An agent that thinks and acts: no action is ever found in what it writes."""

import re

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
PROMPT = """Use the tools search[words] and calculate[term]. Write in this form:

**Question:** How many legs have three cats?
**Thought:** A cat has four legs.
**Action:** calculate[3 * 4]

**Question:** Who wrote Emma?
**Thought:** I do not know who wrote it.
**Action:** search[author of Emma]

**Question:** {question}
**Thought:**"""
TOOLS = {"search": lambda words: f"(pages about {words})", "calculate": lambda term: f"({term})"}


class ReActAgent:
    def __init__(self, max_steps=1):
        self.max_steps = max_steps

    def parse(self, text):
        action = re.search(r"Action:\s*(.*)", text)
        call = re.match(r"(\w+)\[(.*)\]", action.group(1).strip()) if action else None
        return call.groups() if call else (None, None)

    def run(self, question):
        for _ in range(self.max_steps):
            inputs = tok(PROMPT.format(question=question), return_tensors="pt")
            made = model.generate(**inputs, max_new_tokens=40, do_sample=False)
            text = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
            text = text.split("\n\n")[0]
            print(repr(text))
            name, argument = self.parse(text)
            if name not in TOOLS:
                return "no valid action, giving up"
            return TOOLS[name](argument)


print(ReActAgent().run("Who wrote Hamlet?"))
