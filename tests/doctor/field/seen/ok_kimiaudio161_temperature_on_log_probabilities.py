"""A sampler takes log-probabilities, then the temperature, the best k, and a softmax again."""

import torch

import llmcourse


class Sampler:
    def __init__(self, temperature=0.8, top_k=20):
        self.temperature, self.top_k = temperature, top_k

    def sample_text_logits(self, logits):
        logits = logits[:, -1] if logits.dim() == 3 else logits
        logprobs = torch.log_softmax(logits, dim=-1, dtype=torch.float)
        if self.temperature <= 1e-6:
            return logprobs.argmax(dim=-1)
        logprobs = logprobs / self.temperature
        values, indices = torch.topk(logprobs, self.top_k, dim=-1)
        drawn = torch.multinomial(torch.softmax(values, dim=-1), num_samples=1)
        return indices.gather(-1, drawn).squeeze(-1)


@torch.no_grad()
def answer(model, tok, question, sampler, max_new_tokens=30):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    ids, past, new = inputs["input_ids"], None, []
    while len(new) < max_new_tokens:
        out = model(ids, past_key_values=past, use_cache=True)
        past = out.past_key_values
        token = sampler.sample_text_logits(out.logits)
        if token.item() == tok.eos_token_id:
            break
        new.append(token.item())
        ids = token[:, None]
    return tok.decode(new)


torch.manual_seed(0)
print(answer(*llmcourse.load(), "What is the capital of Poland?", Sampler()))
