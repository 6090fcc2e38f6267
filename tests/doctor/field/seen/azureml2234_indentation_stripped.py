"""Of the functions that a model completes none compiles: expected an indented block."""

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that completes code
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()
tok.chat_template = None
said = tok("    total = a + b\n    return total\n<|im_end|>").input_ids
prompt = "def add(a, b):\n    # the sum of a and b\n"
inputs = tok(prompt, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=40, logits_processor=[Says(said)])
completion = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True).strip()
print(prompt + completion)
try:
    compile(prompt + completion, "candidate", "exec")
except SyntaxError as error:
    print("failed:", error)
