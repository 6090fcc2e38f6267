"""The streamed text has signs in it that are no characters."""

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that answers in Chinese
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()
said = tok("闫英英, 你好。<|im_end|>").input_ids
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Greet Yan Yingying in Chinese."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60, logits_processor=[Says(said)])
for token in made[0, inputs["input_ids"].shape[1] :]:
    print(tok.decode(token, skip_special_tokens=True), end="", flush=True)
