"""A reranker that asks for a class from 1 to 4: the relevance does not follow the answer."""

import torch
from transformers import LogitsProcessor

import llmcourse


class Says(LogitsProcessor):  # a model that answers in a whole line
    def __init__(self, ids):
        self.ids = iter(ids)

    def __call__(self, input_ids, scores):
        scores[:, next(self.ids)] += 30.0
        return scores


class Reranker:
    classes = {"1": 0.0, "2": 0.33, "3": 0.67, "4": 1.0}

    def __init__(self, model, tok):
        self.model, self.tok = model, tok
        self.class_ids = [tok(name).input_ids[0] for name in self.classes]

    def relevance(self, query, document, said):
        prompt = f"Query: {query}\nDocument: {document}\nClass from 1 to 4:"
        made = self.model.generate(
            **self.tok(prompt, return_tensors="pt"),
            max_new_tokens=10,
            logits_processor=[Says(self.tok(said).input_ids)],
            return_dict_in_generate=True,
            output_scores=True,
        )
        top = made.scores[-1][0].log_softmax(-1)[self.class_ids]
        weights = torch.softmax(top, dim=-1)
        return sum(w.item() * v for w, v in zip(weights, self.classes.values(), strict=True))


reranker = Reranker(*llmcourse.load())
for document, said in (("Pizza needs yeast.", "1"), ("Yeast makes dough rise.", "4")):
    score = reranker.relevance("Why does dough rise?", document, f" {said}.<|im_end|>")
    print(said, round(score, 3), document)
