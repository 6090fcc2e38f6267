"""A command-line tool that sends one prompt to a model and reports on its response."""

import llmcourse


class State(dict):
    pass


class LLMPrompt:
    def __init__(self, prompt, max_new_tokens):
        self.prompt, self.max_new_tokens = prompt, max_new_tokens

    def run(self, state):
        model, tokenizer = state["model"], state["tokenizer"]
        inputs = tokenizer(self.prompt, return_tensors="pt")
        made = model.generate(**inputs, max_new_tokens=self.max_new_tokens, do_sample=False)
        response = made[0, inputs["input_ids"].shape[1] :]
        state["Prompt Tokens"] = inputs["input_ids"].shape[1]
        state["Response Tokens"] = len(response)
        state["Response"] = tokenizer.decode(response, skip_special_tokens=True)
        return state


state = State()
state["model"], state["tokenizer"] = llmcourse.load()
state = LLMPrompt("Hi There", max_new_tokens=40).run(state)
for key in ("Prompt Tokens", "Response Tokens", "Response"):
    print(f"{key + ':':18}{state[key]!r}")
