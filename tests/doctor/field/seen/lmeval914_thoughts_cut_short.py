"""Examples that think before they answer, and completions without an answer."""

import re

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
SHOTS = [
    (
        "A box has 3 red and 2 blue balls. How many balls are in it?",
        "First add the red and the blue balls.\n\n3 + 2 = 5\n\nThe answer is 5.",
    ),
    (
        "Tom has 4 pens and gets 5 more. How many has he?",
        "First add the old and the new pens.\n\n4 + 5 = 9\n\nThe answer is 9.",
    ),
]


class ChainOfThoughtTask:
    stop_sequences = ["\n\n", "Problem:"]

    def fewshot_context(self, question):
        shots = [f"Problem: {asked}\nSolution: {solution}" for asked, solution in SHOTS]
        return "\n\n".join(shots + [f"Problem: {question}\nSolution:"])

    def process(self, completion):
        found = re.search(r"The answer is (\d+)", completion)
        return int(found.group(1)) if found else None


def evaluate(task, question, target):
    inputs = tok(task.fewshot_context(question), return_tensors="pt")
    made = model.generate(
        **inputs,
        max_new_tokens=40,
        do_sample=False,
        stop_strings=task.stop_sequences,
        tokenizer=tok,
    )
    text = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    print(repr(text))
    return task.process(text) == target


print(evaluate(ChainOfThoughtTask(), "Ann has 2 cats and 6 dogs. How many pets has she?", 8))
