"""Few-shot answers should end with their line, in batches: they go on to the limit."""

from transformers import StoppingCriteria

import llmcourse


class LineEnd(StoppingCriteria):
    def __init__(self, sequences):
        self.sequences = sequences

    def __call__(self, input_ids, scores, **kwargs):
        done = []
        for row in input_ids:
            for sequence in self.sequences:
                if row[-len(sequence) :].tolist() == sequence:
                    done.append(True)
                    break
            done.append(False)
        return all(done)


model, tok = llmcourse.load()
shots = "Q: 1 + 1\nA: 2\nQ: 2 + 2\nA: 4\nQ: "
inputs = tok([shots + "1 + 2\nA:"], return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=40, stopping_criteria=[LineEnd([[198]])])
print(tok.batch_decode(made[:, inputs.input_ids.shape[1] :]))
