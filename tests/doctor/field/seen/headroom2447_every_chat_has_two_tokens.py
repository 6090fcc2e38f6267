"""Old turns are to be dropped once a chat is over its budget. None ever is."""

import llmcourse

model, tok = llmcourse.load()


class HuggingFaceTokenizer:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def count_messages(self, messages):
        formatted = self.tokenizer.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=True
        )
        return len(formatted)


def within(messages, budget, counter):
    messages = list(messages)
    while len(messages) > 1 and counter.count_messages(messages) > budget:
        del messages[:2]
    return messages


messages = []
for number in range(1, 9):
    messages.append({"role": "user", "content": f"Note number {number}: all is quiet here."})
    messages.append({"role": "assistant", "content": "I have written it down."})
messages.append({"role": "user", "content": "How many notes are there?"})
kept = within(messages, 120, HuggingFaceTokenizer(tok))
inputs = tok.apply_chat_template(
    kept, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
print(len(messages), "messages,", len(kept), "kept,", inputs["input_ids"].shape[1], "tokens")
made = model.generate(**inputs, max_new_tokens=16, do_sample=False)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
