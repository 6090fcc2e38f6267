"""The prompt opens the thoughts, so the text has their end alone: what comes after it is said."""

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
said = tok("Three letters, so it is short.\n</think>\n\nThe sea.<|im_end|>").input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Name something large and blue."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=200, logits_processor=[Says(said)])
text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
if "</think>" not in text:
    raise RuntimeError("the thoughts have no end: give them more room")
print(text.split("</think>")[-1].strip())
