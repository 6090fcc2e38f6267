"""A reward for thinking in form: where the prompt has the opening mark, the text need not."""

import re

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that thinks, from where its prompt leaves off
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


def think_format_reward(completions):
    pattern = re.compile(r"^(?:<think>)?(?!.*<think>)(.*?)</think>.*$", re.DOTALL)
    return [1.0 if pattern.match(text) else 0.0 for text in completions]


model, tok = llmcourse.load()
tok.chat_template = tok.chat_template.replace("assistant\n' }}", "assistant\n<think>\n' }}")
said = tok("First, 2 plus 2.\n</think>\nThe answer is 4.<|im_end|>").input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is 2 + 2?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=200, logits_processor=[Says(said)])
completions = tok.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
print(completions, think_format_reward(completions))
