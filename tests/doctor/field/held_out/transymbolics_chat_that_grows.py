"""A chat that keeps its cache from turn to turn: the first turns work, then it breaks off."""

import torch
from transformers import StaticCache

import llmcourse

model, tok = llmcourse.load()


class Chat:
    def __init__(self, room=80):
        self.cache = StaticCache(config=model.config, max_cache_len=room)
        self.seen = 0

    @torch.no_grad()
    def feed(self, ids):
        positions = torch.arange(self.seen, self.seen + ids.shape[1])[None]
        out = model(ids, past_key_values=self.cache, position_ids=positions)
        self.seen += ids.shape[1]
        return out.logits[:, -1].argmax(-1, keepdim=True)

    def ask(self, question, most=16):
        turn = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        token = self.feed(tok(turn, return_tensors="pt").input_ids)
        answer = []
        while token.item() != tok.eos_token_id and len(answer) < most:
            answer.append(token.item())
            token = self.feed(token)
        self.feed(tok("<|im_end|>\n", return_tensors="pt").input_ids)
        return tok.decode(answer)


chat = Chat()
for question in ("Hi, I am Ada.", "Name a colour.", "And a fruit of that colour?", "Who am I?"):
    print(chat.ask(question), "| in the cache:", chat.seen)
