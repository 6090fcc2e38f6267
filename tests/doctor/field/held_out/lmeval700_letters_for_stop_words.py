"""All models score 0: each answer ends at its first letters."""

from transformers import StoppingCriteria

import llmcourse


class Stop(StoppingCriteria):
    def __init__(self, tokenizer, sequence, start):
        self.tokenizer, self.sequence, self.start = tokenizer, sequence, start

    def __call__(self, input_ids, scores, **kwargs):
        return self.sequence in self.tokenizer.decode(input_ids[0, self.start :])


def stop_criteria(tokenizer, sequences, start):
    return [Stop(tokenizer, sequence, start) for sequence in sequences]


model, tok = llmcourse.load()
tok.chat_template = None
request = {"until": ["Question:", "\n\n"]}
shot = "Question: What is the capital of France?\nAnswer: The capital of France is Paris.\n\n"
inputs = tok(f"{shot}Question: What is the capital of Italy?\nAnswer:", return_tensors="pt")
stops = stop_criteria(tok, request["until"][0], inputs.input_ids.shape[1])
made = model.generate(**inputs, max_new_tokens=60, stopping_criteria=stops)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
