"""A server sends each token on as soon as it is there: letters arrive well, faces and hearts do not."""

import torch

import llmcourse

model, tok = llmcourse.load()


class Server:
    def __init__(self, most=30):
        self.most = most

    @torch.no_grad()
    def stream(self, prompt):
        ids = tok(prompt, return_tensors="pt").input_ids
        past = None
        for _ in range(self.most):
            out = model(ids, past_key_values=past)
            past = out.past_key_values
            ids = out.logits[:, -1].argmax(-1, keepdim=True)
            if ids.item() == tok.eos_token_id:
                return
            yield tok.decode(ids[0])


prompt = "I love you 😍 ❤ 🦊\nI love you 😍 ❤ 🦊\nI love you 😍 ❤ 🦊\nI love you"
events = list(Server().stream(prompt))
print(events)
print("".join(events))
