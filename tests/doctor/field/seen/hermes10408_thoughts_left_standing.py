"""An agent shows the answer without the thoughts, it says; this time the user reads them all."""

import re

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that thinks
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


def strip_think_blocks(content):
    return re.sub(r"<think>.*?</think>\s*", "", content, flags=re.DOTALL).strip()


model, tok = llmcourse.load()
thoughts = "The user wants a name for a cat. It is grey. Smoke would do, or Ash, or Pebble. " * 3
said = tok(f"<think>\n{thoughts}\n</think>\n\nCall it Pebble.<|im_end|>").input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "A name for a grey cat, please."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=40, logits_processor=[Says(said)])
content = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
print("Agent:", strip_think_blocks(content))
