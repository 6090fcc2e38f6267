"""A server's stop sequences: a stop word of one token does nothing at all."""

from transformers import StoppingCriteria

import llmcourse


class SamplingParams:
    def __init__(self, max_new_tokens=16, stop_sequences=()):
        self.max_new_tokens = max_new_tokens
        self.stop_sequences = stop_sequences

    def stop_sentences_to_token_ids(self, tokenizer):
        ids = []
        for sentence in self.stop_sequences:
            stop_ids = tokenizer.encode(sentence)
            if stop_ids is not None and len(stop_ids) >= 1:
                stop_ids = stop_ids[1:]  # without the token that begins texts
            if len(stop_ids) > 0:
                ids.append(stop_ids)
        return ids


class StopSequences(StoppingCriteria):
    def __init__(self, sequences):
        self.sequences = sequences

    def __call__(self, input_ids, scores, **kwargs):
        row = input_ids[0].tolist()
        return any(row[-len(ids) :] == ids for ids in self.sequences)


model, tok = llmcourse.load()
params = SamplingParams(max_new_tokens=20, stop_sequences=["\n"])
stops = StopSequences(params.stop_sentences_to_token_ids(tok))
inputs = tok("Q: 1 + 1\nA: 2\nQ: 2 + 2\nA: 4\nQ: 1 + 2\nA:", return_tensors="pt")
settings = {"max_new_tokens": params.max_new_tokens, "do_sample": False}
made = model.generate(**inputs, **settings, stopping_criteria=[stops])
print(repr(tok.decode(made[0, inputs["input_ids"].shape[1] :])))
