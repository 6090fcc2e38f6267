"""A chat bot that leaves the model as much room as there is: after a few turns it raises."""

import llmcourse

model, tok = llmcourse.load()
LIMIT = 400  # tokens, prompt and answer together


class Prompt:
    def __init__(self):
        self.history = []

    def construct(self, message):
        return "\n".join([*self.history, f"User: {message}", "Assistant:"])

    def keep(self, message, answer):
        self.history += [f"User: {message}", f"Assistant: {answer}"]


def complete(text, **settings):
    inputs = tok(text, return_tensors="pt")
    stops = {"stop_strings": ["\n"], "tokenizer": tok}
    made = model.generate(**inputs, do_sample=False, **stops, **settings)
    return tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


prompt = Prompt()
for message in (
    "I would like to walk along a river for three days. Which rivers would you choose, and why?",
    "I like hills, but my friend does not like them. Does that change what you would choose?",
    "And what do I have to take along for such a walk, if we want to sleep in small inns?",
):
    text = prompt.construct(message)
    answer = complete(text, max_new_tokens=min(12, LIMIT - len(text)))
    print(answer)
    prompt.keep(message, answer)
