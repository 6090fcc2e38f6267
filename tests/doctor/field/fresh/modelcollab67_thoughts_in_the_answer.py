"""Several models answer and vote: the one that reasons never agrees with anybody."""

from collections import Counter

from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that was trained to reason before it answers
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] = 1e4
        return scores


model, tok = llmcourse.load()


def batch_generate_text(prompts, said, max_response_length=40):
    texts = []
    for prompt in prompts:
        inputs = tok.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        speak = [Says(tok(said + "<|im_end|>").input_ids)]
        out = model.generate(**inputs, max_new_tokens=max_response_length, logits_processor=speak)
        new = out[0, inputs["input_ids"].shape[1] :]
        texts.append(tok.decode(new, skip_special_tokens=True).strip())
    return texts


question = ["How many days are there in three weeks? Answer with a number."]
team = ["21", "20", "<think>\nA week has 7 days, 3 * 7 = 21.\n</think>\n\n21"]
votes = Counter(batch_generate_text(question, said)[0] for said in team)
print(votes.most_common())
