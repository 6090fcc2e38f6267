"""A list of bad words for a travel bot: the town that it must not name is in its answer."""

from dataclasses import dataclass, field

import llmcourse


@dataclass
class SamplingParams:
    max_tokens: int = 24
    bad: list = field(default_factory=list)

    def setup(self, tokenizer):
        self.bad_word_ids = [tokenizer.encode(word, add_special_tokens=False) for word in self.bad]
        return self


class Engine:
    def __init__(self):
        self.model, self.tokenizer = llmcourse.load()

    def generate(self, message, params):
        params.setup(self.tokenizer)
        inputs = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": message}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        made = self.model.generate(
            **inputs,
            max_new_tokens=params.max_tokens,
            do_sample=False,
            bad_words_ids=params.bad_word_ids,
        )
        new = made[0, inputs["input_ids"].shape[1] :]
        return self.tokenizer.decode(new, skip_special_tokens=True)


engine = Engine()
params = SamplingParams(bad=["London"])
print(engine.generate("What is the capital of England?", params))
