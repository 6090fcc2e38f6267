"""A presence penalty, as an API has it, for local models: names from the text come out changed."""

from transformers import LogitsProcessor, LogitsProcessorList

import llmcourse


class PresencePenalty(LogitsProcessor):
    """Lowers what the output has already, so that it turns to something new."""

    def __init__(self, penalty):
        self.penalty = penalty

    def __call__(self, input_ids, scores):
        for row, ids in enumerate(input_ids):
            scores[row, ids.unique()] -= self.penalty
        return scores


model, tok = llmcourse.load()


def answer(text, question, presence_penalty=0.0, max_tokens=20):
    messages = [{"role": "user", "content": f"{text}\n{question}"}]
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(
        **inputs,
        max_new_tokens=max_tokens,
        do_sample=False,
        logits_processor=LogitsProcessorList([PresencePenalty(presence_penalty)]),
    )
    return tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


text = "Captain Olsen steers the ferry Margrethe from Bergen to Stavanger."
for penalty in (0.0, 4.0):
    print(penalty, answer(text, "Who steers the ferry? Answer with the name.", penalty))
