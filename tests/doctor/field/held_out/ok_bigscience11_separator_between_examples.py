"""Examples with a line of signs between them, which also ends the completion."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
EXAMPLES = [
    ("The soup was cold.", "bad"),
    ("What a lovely evening!", "good"),
    ("We waited for two hours.", "bad"),
]


class PromptSourceTask:
    separator = "\n###\n"

    def fewshot_context(self, text):
        shots = [f"Review: {review}\nOpinion: {label}" for review, label in EXAMPLES]
        return self.separator.join(shots + [f"Review: {text}\nOpinion:"])

    def stopping_criteria(self):
        return "###"


def greedy_until(task, text, max_new_tokens=12):
    inputs = tok(task.fewshot_context(text), return_tensors="pt")
    until = task.stopping_criteria()
    made = model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        stop_strings=[until],
        tokenizer=tok,
    )
    completion = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return completion.split(until)[0].strip()


task = PromptSourceTask()
for review in ("The waiter was friendly and quick.", "My fish was raw."):
    print(review, "->", greedy_until(task, review))
