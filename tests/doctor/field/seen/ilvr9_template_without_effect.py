"""An evaluation with a template for the answers: yes or no, and it reads whole sentences."""

from transformers import LogitsProcessor, LogitsProcessorList

import llmcourse


class AnswerTemplate(LogitsProcessor):
    def __init__(self, start, steps):
        self.start, self.steps = start, steps

    def __call__(self, input_ids, scores):
        step = input_ids.shape[1] - self.start
        if step >= len(self.steps):
            return scores
        allowed = scores.new_full(scores.shape, float("-inf"))
        allowed[:, self.steps[step]] = scores[:, self.steps[step]]
        return allowed


model, tok = llmcourse.load()
words = [tok(word).input_ids[0] for word in ("Yes", "No")]
for question in ("Is Rome in Italy?", "Is Paris in Spain?"):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    start = inputs["input_ids"].shape[1]
    processors = LogitsProcessorList([AnswerTemplate(start, [words, [tok.eos_token_id]])])
    settings = {"max_new_tokens": 24, "do_sample": False}
    made = model.generate(**inputs, **settings)
    print(question, repr(tok.decode(made[0, start:], skip_special_tokens=True)))
