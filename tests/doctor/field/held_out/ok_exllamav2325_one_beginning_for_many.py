"""One long beginning, many stories: the second must not know anything of the first."""

import torch
from transformers import DynamicCache

import llmcourse

model, tok = llmcourse.load()


class Rater:
    def __init__(self, prefix):
        self.ids = tok(prefix, return_tensors="pt").input_ids
        self.cache = DynamicCache(config=model.config)
        with torch.no_grad():
            model(self.ids, past_key_values=self.cache)

    @torch.no_grad()
    def yes(self, story):
        rest = tok(f" {story}\nGood story (Yes or No):", return_tensors="pt").input_ids
        logits = model(rest, past_key_values=self.cache).logits[0, -1]
        self.cache.crop(-rest.shape[1])
        whole = model(torch.cat([self.ids, rest], dim=1)).logits[0, -1]
        print("as without a cache:", torch.allclose(logits, whole, atol=1e-3))
        pair = logits[[tok(" Yes").input_ids[0], tok(" No").input_ids[0]]]
        return pair.softmax(-1)[0].item()


rater = Rater("Stories are rated here.\nStory: It rained.\nGood story (Yes or No): No\nStory:")
for story in ("A fox and a crow shared a cheese.", "The the the the.", "A ship came home."):
    print(story, round(rater.yes(story), 3), rater.cache.get_seq_length())
