"""A beam search of our own: the beams that it keeps are odd, and their scores too."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


class LanguageLearner:
    @torch.no_grad()
    def beam_search(self, text, n_words, top_k=10, beam_sz=3, temperature=1.0):
        ids = tok(text, return_tensors="pt").input_ids
        nodes, scores = ids, torch.ones(1)
        for _ in range(n_words):
            logits = model(nodes).logits[:, -1] / temperature
            values, indices = logits.log_softmax(-1).topk(top_k, dim=-1)
            scores = (values * scores[:, None]).view(-1)
            parents = torch.arange(len(nodes)).repeat_interleave(top_k)
            nodes = torch.cat([nodes[parents], indices.view(-1, 1)], dim=1)
            best = scores.argsort(descending=True)[:beam_sz]
            nodes, scores = nodes[best], scores[best]
        return [
            (score.item(), tok.decode(node[ids.shape[1] :])) for score, node in zip(scores, nodes)
        ]


for score, words in LanguageLearner().beam_search("The capital of France is", n_words=6):
    print(round(score, 3), repr(words))
