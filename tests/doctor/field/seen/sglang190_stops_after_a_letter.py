"""A chat server whose template has a stop text: answers break off within their first words."""

from dataclasses import dataclass

import torch
from transformers import StoppingCriteria

import llmcourse


@dataclass
class ChatTemplate:
    name: str
    stop_str: str | list


class StopAtText(StoppingCriteria):
    def __init__(self, tok, stop, start):
        self.tok, self.stop, self.start = tok, stop, start

    def __call__(self, input_ids, scores, **kwargs):
        texts = self.tok.batch_decode(input_ids[:, self.start :])
        return torch.tensor([any(stop in text for stop in self.stop) for text in texts])


model, tok = llmcourse.load()
template = ChatTemplate("chatml", stop_str="<|im_end|>")


def create_completion(messages, max_tokens=40):
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    start = inputs["input_ids"].shape[1]
    stop = [StopAtText(tok, template.stop_str, start)]
    made = model.generate(
        **inputs, max_new_tokens=max_tokens, do_sample=False, stopping_criteria=stop
    )
    return tok.decode(made[0, start:], skip_special_tokens=True)


print(create_completion([{"role": "user", "content": "What is the capital of France?"}]))
