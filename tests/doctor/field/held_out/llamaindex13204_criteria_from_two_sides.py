"""A wrapper that stops at its own ids; with a criterion of the user's it cannot be called."""

from transformers import StoppingCriteria, StoppingCriteriaList

import llmcourse


class StopOnTokens(StoppingCriteria):
    def __init__(self, ids):
        self.ids = set(ids)

    def __call__(self, input_ids, scores, **kwargs):
        return all(row[-1].item() in self.ids for row in input_ids)


class LocalLLM:
    def __init__(self, model, tok, max_new_tokens=24, generate_kwargs=None, stopping_ids=None):
        self.model, self.tok = model, tok
        self.max_new_tokens = max_new_tokens
        self.generate_kwargs = generate_kwargs or {}
        self.stopping_criteria = StoppingCriteriaList([StopOnTokens(stopping_ids or [])])

    def complete(self, prompt):
        inputs = self.tok(prompt, return_tensors="pt").to(self.model.device)
        tokens = self.model.generate(
            **inputs,
            max_new_tokens=self.max_new_tokens,
            stopping_criteria=self.stopping_criteria,
            **self.generate_kwargs,
        )
        new = tokens[0][inputs["input_ids"].size(1) :]
        return self.tok.decode(new, skip_special_tokens=True)


model, tok = llmcourse.load()
newline = tok("\n").input_ids
settings = {"do_sample": False, "stopping_criteria": [StopOnTokens(newline)]}
llm = LocalLLM(model, tok, stopping_ids=[tok.eos_token_id], generate_kwargs=settings)
print(llm.complete("Q: What is the capital of Italy?\nA:"))
