"""A server returns the most probable tokens of each step with their log-probabilities."""

from dataclasses import dataclass

import torch

import llmcourse


@dataclass
class Batch:
    input_ids: torch.Tensor
    top_n_tokens: int


def batch_top_tokens(top_n_tokens, logprobs):
    values, ids = torch.topk(logprobs, k=top_n_tokens, dim=-1, sorted=True)
    return ids.tolist(), values.tolist()


class CausalLM:
    def __init__(self):
        self.model, self.tokenizer = llmcourse.load()

    @torch.inference_mode()
    def generate_token(self, batch):
        logits = self.model(batch.input_ids).logits[:, -1, :]
        ids, logprobs = batch_top_tokens(batch.top_n_tokens, torch.softmax(logits, -1))
        next_id = logits.argmax(-1, keepdim=True)
        batch.input_ids = torch.cat([batch.input_ids, next_id], dim=-1)
        tokens = self.tokenizer.convert_ids_to_tokens(ids[0])
        return [{"text": t, "logprob": round(p, 3)} for t, p in zip(tokens, logprobs[0])]


server = CausalLM()
ids = server.tokenizer("The capital of France is", return_tensors="pt").input_ids
batch = Batch(ids, top_n_tokens=3)
for _ in range(4):
    print(server.generate_token(batch))
