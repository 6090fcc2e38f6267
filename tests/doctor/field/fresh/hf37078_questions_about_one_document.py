"""The document is read once, and its cache serves all questions; answers depend on their order."""

import torch
from transformers import DynamicCache

import llmcourse

model, tok = llmcourse.load()
DOCUMENT = "Order 12 is red and costs 5 francs. Order 19 is blue and costs 8 francs.\n"
QUESTIONS = ["Order 12 is", "Order 19 is", "Order 12 is"]


class Context:
    @torch.no_grad()
    def __init__(self, text):
        self.cache = DynamicCache(config=model.config)
        model(**tok(text, return_tensors="pt"), past_key_values=self.cache)

    @torch.no_grad()
    def next_token(self, question):
        ids = tok(question, return_tensors="pt").input_ids
        out = model(ids, past_key_values=self.cache, use_cache=False)
        best = out.logits[0, -1].log_softmax(-1).topk(3)
        return [(tok.decode(i), round(p, 2)) for p, i in zip(best.values.tolist(), best.indices)]


context = Context(DOCUMENT)
for question in QUESTIONS:
    print(context.cache.get_seq_length(), question, context.next_token(question))
