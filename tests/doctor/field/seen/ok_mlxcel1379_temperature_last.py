"""A sampler in llama.cpp's order: top-p and min-p first, the temperature at the end."""

import torch

import llmcourse

model, tok = llmcourse.load()


class Sampler:
    def __init__(self, temperature=0.8, top_p=0.9, min_p=0.1, seed=0):
        self.temperature, self.top_p, self.min_p = temperature, top_p, min_p
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, logits):
        if self.temperature == 0:
            return int(logits.argmax())
        probs, order = logits.softmax(-1).sort(descending=True)
        keep = probs.cumsum(-1) - probs < self.top_p
        keep &= probs >= self.min_p * probs[0]
        candidates = order[keep]
        chances = (logits[candidates] / self.temperature).softmax(-1)
        return int(candidates[torch.multinomial(chances, 1, generator=self.generator)])


@torch.no_grad()
def generate(question, sampler, max_new_tokens=25):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    fed, cache, written = inputs["input_ids"], None, []
    for _ in range(max_new_tokens):
        outputs = model(fed, past_key_values=cache, use_cache=True)
        token, cache = sampler(outputs.logits[0, -1]), outputs.past_key_values
        if token == tok.eos_token_id:
            break
        written.append(token)
        fed = torch.tensor([[token]])
    return tok.decode(written)


print(generate("Write one sentence about the sea.", Sampler()))
