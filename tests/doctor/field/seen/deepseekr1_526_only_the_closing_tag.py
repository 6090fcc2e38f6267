"""The text has a </think> and no <think>: no thoughts are found, and all of it is answer."""

import re

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that thinks, from where its prompt leaves off
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()
tok.chat_template = tok.chat_template.replace("assistant\n' }}", "assistant\n<think>\n' }}")
said = tok("Two and two are four.\n</think>\n\n4<|im_end|>").input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "2 + 2?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=100, logits_processor=[Says(said)])
text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
thoughts = re.search(r"<think>(.*?)</think>", text, re.S)
answer = re.sub(r"<think>.*?</think>", "", text, flags=re.S)
print({"thoughts": thoughts and thoughts[1], "answer": answer})
