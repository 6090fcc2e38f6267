"""Code completions are cut at the stop words; some of them come out empty."""

import re

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
STOP_WORDS = ["\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif"]


class HumanEval:
    prompts = [
        "def double(x):\n    # x times two\n    result =",
        "def area(width, height):\n    # the area of a rectangle\n    result =",
    ]

    @staticmethod
    def remove_last_block(text):
        parts = re.split("(%s)" % "|".join(STOP_WORDS), text)
        return "".join(parts[:-2])

    def postprocess(self, text):
        return self.remove_last_block(text)


def complete(task, max_new_tokens):
    for prompt in task.prompts:
        inputs = tok(prompt, return_tensors="pt")
        made = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        new = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
        yield new, prompt + task.postprocess(new)


for raw, program in complete(HumanEval(), max_new_tokens=8):
    print(repr(raw), "->", repr(program))
