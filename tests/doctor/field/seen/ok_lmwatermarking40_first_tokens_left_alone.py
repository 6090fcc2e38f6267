"""A watermark that is seeded by the answer alone, so that the answer is enough to find it."""

import torch
from transformers import LogitsProcessor, LogitsProcessorList

import llmcourse

model, tok = llmcourse.load()


class Watermark(LogitsProcessor):
    def __init__(self, vocab_size, prompt_length=0, width=2, gamma=0.5, delta=3.0):
        self.vocab_size, self.prompt_length, self.width = vocab_size, prompt_length, width
        self.gamma, self.delta = gamma, delta

    def green(self, context):
        generator = torch.Generator().manual_seed(sum(context) * 15485863 % (2**31))
        order = torch.randperm(self.vocab_size, generator=generator)
        return order[: int(self.gamma * self.vocab_size)]

    def __call__(self, input_ids, scores):
        if input_ids.shape[1] - self.prompt_length < self.width:
            return scores
        scores = scores.clone()
        for row, ids in enumerate(input_ids.tolist()):
            scores[row, self.green(ids[-self.width :])] += self.delta
        return scores

    def share(self, ids):
        width, places = self.width, range(self.width, len(ids))
        hits = [bool((self.green(ids[i - width : i]) == ids[i]).any()) for i in places]
        return sum(hits) / len(hits)


inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Tell me about the moon."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
length = inputs["input_ids"].shape[1]
mark = Watermark(model.config.vocab_size, prompt_length=length)
for processors in ([], [mark]):
    options = dict(max_new_tokens=30, do_sample=False)
    made = model.generate(**inputs, **options, logits_processor=LogitsProcessorList(processors))
    new = made[0, length:]
    print(round(mark.share(new.tolist()), 2), tok.decode(new, skip_special_tokens=True))
