"""Rewards from the parsed answer: the model is right each time, and each reward is zero."""

import llmcourse


class ChatParser:
    def __init__(self, tokenizer, disable_thinking=False):
        self.tokenizer, self.disable_thinking = tokenizer, disable_thinking

    def prompt(self, messages):
        return self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )

    def parse_completion(self, completion_ids):
        text = self.tokenizer.decode(completion_ids, skip_special_tokens=True)
        if text.count("</think>") == 1:
            reasoning, _, content = text.partition("</think>")
            reasoning = reasoning.removeprefix("<think>")
        elif not self.disable_thinking:
            reasoning, content = text, ""
        else:
            reasoning, content = "", text
        return {"reasoning": reasoning.strip(), "content": content.strip()}


def reward(parsed, truth):
    return float(truth in parsed["content"])


model, tok = llmcourse.load()
parser = ChatParser(tok)
for question, truth in (
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Japan?", "Tokyo"),
):
    inputs = parser.prompt([{"role": "user", "content": question}])
    made = model.generate(**inputs, max_new_tokens=24, do_sample=False)
    parsed = parser.parse_completion(made[0, inputs["input_ids"].shape[1] :])
    print(reward(parsed, truth), parsed)
