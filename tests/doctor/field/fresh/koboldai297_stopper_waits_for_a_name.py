"""Single-line mode of a story writer: a stopper is to end the text with its line."""

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

import llmcourse


class Settings:
    singleline = True
    chatmode = False
    chatname = "You"


class SinglelineStopper(StoppingCriteria):
    """Ends each text at the end of a line."""

    def __init__(self, tok, settings, n_rows):
        self.tok, self.settings = tok, settings
        self.completed = [False] * n_rows

    def __call__(self, input_ids, scores, **kwargs):
        if self.settings.singleline:
            check = f"{self.settings.chatname}:"
            for i, text in enumerate(self.tok.batch_decode(input_ids)):
                if text.endswith(check):
                    self.completed[i] = True
        return torch.tensor(self.completed, device=input_ids.device)


model, tok = llmcourse.load()
chat = [{"role": "user", "content": "Write a list of four animals that live in the sea."}]
inputs = tok.apply_chat_template(
    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
stoppers = StoppingCriteriaList([SinglelineStopper(tok, Settings, n_rows=1)])
out = model.generate(**inputs, max_new_tokens=40, stopping_criteria=stoppers)
print(tok.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
