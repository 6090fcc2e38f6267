"""A parser that takes the reasoning out of a message: it finds none, and shows all of it."""

import re

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # what such a model goes on with
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()
tok.chat_template = (  # as the model's, shortened
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if thinking is defined and thinking is false %}<think></think>{% else %}<think>{% endif %}"
    "{% endif %}"
)


def parse(text):
    match = re.search(r"<think>(.*?)</think>", text, re.DOTALL)
    reasoning = match.group(1).strip() if match else None
    return {"reasoning_content": reasoning, "content": re.sub(r"<think>.*?</think>", "", text)}


inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Is 91 a prime?"}],
    add_generation_prompt=True, return_tensors="pt", return_dict=True,
)  # fmt: skip
said = tok("7 times 13 is 91, so it is not.</think>No, 91 = 7 * 13.<|im_end|>").input_ids
out = model.generate(**inputs, max_new_tokens=40, logits_processor=[Says(said)])
new = out[0, inputs["input_ids"].shape[1] :]
print(parse(tok.decode(new, skip_special_tokens=True)))
