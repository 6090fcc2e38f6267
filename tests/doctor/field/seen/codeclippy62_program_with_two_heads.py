"""Tests of written functions: not one passes, and each looks right when it is read."""

import llmcourse

PROBLEMS = [
    ("def double(x):\n    return", "assert double(4) == 8"),
    ("def is_adult(age):\n    return age", "assert is_adult(20) and not is_adult(3)"),
]
model, tok = llmcourse.load()


def complete(prompt):
    inputs = tok(prompt, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    return tok.decode(made[0], skip_special_tokens=True).split("\n```")[0]


def passes(prompt, completion, test):
    try:
        exec(f"{prompt}{completion}\n{test}\n", {})
    except Exception as error:
        print(type(error).__name__, error)
        return False
    return True


results = [passes(prompt, complete(prompt), test) for prompt, test in PROBLEMS]
print("pass@1:", sum(results) / len(results))
