"""Completions of small functions are cut at the stop words; the programs do not pass."""

from transformers import StoppingCriteria, StoppingCriteriaList

import llmcourse

model, tok = llmcourse.load()
SEPARATOR = "\n=====\n"
FILES = ["def half(x):\n    return x / 2", "def square(x):\n    return x * x"]
FILES += ["def negate(x):\n    return -x", "def increment(x):\n    return x + 1"]


class Task:
    stop_words = ["\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", "\n```"]
    docs = [
        ("def double(x):\n    return", "double(3) == 6"),
        ("def triple(x):\n    return", "triple(3) == 9"),
    ]

    def postprocess(self, generation):
        places = [generation.find(word) for word in self.stop_words]
        return generation[: min((p for p in places if p != -1), default=len(generation))]


class EndOfFunctionCriteria(StoppingCriteria):
    def __init__(self, start_length, words):
        self.start_length, self.words = start_length, words

    def __call__(self, input_ids, scores, **kwargs):
        texts = tok.batch_decode(input_ids[:, self.start_length :])
        return all(any(word in text for word in self.words) for text in texts)


task = Task()
for prompt, check in task.docs:
    ids = tok(SEPARATOR.join([*FILES, prompt]), return_tensors="pt")
    start = ids.input_ids.shape[1]
    stop = StoppingCriteriaList([EndOfFunctionCriteria(start, task.stop_words)])
    made = model.generate(**ids, max_new_tokens=32, do_sample=False, stopping_criteria=stop)
    program = prompt + task.postprocess(tok.decode(made[0, start:], skip_special_tokens=True))
    try:
        exec(program, scope := {})
        print("passed:", eval(check, scope))
    except SyntaxError as error:
        print("failed:", error, repr(program))
