"""Of several samples the one with the largest sum of log-probabilities is returned."""

from dataclasses import dataclass

import torch

import llmcourse


@dataclass
class Completion:
    text: str
    cumulative_logprob: float


def best_of(model, tok, question, n=3, max_tokens=32):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    made = model.generate(
        **inputs,
        do_sample=True,
        temperature=0.7,
        top_k=0,
        num_return_sequences=n,
        max_new_tokens=max_tokens,
        return_dict_in_generate=True,
        output_logits=True,
    )
    new = made.sequences[:, inputs["input_ids"].shape[1] :]
    log_probs = torch.stack(made.logits, dim=1).float().log_softmax(-1)
    chosen = log_probs.gather(-1, new.unsqueeze(-1)).squeeze(-1)
    ended = (new == tok.eos_token_id).long()
    until_end = ended.cumsum(-1) - ended == 0
    sums = chosen.masked_fill(~until_end, 0.0).sum(-1)
    texts = tok.batch_decode(new, skip_special_tokens=True)
    return [Completion(*pair) for pair in zip(texts, sums.tolist(), strict=True)]


torch.manual_seed(1)
model, tok = llmcourse.load()
outputs = best_of(model, tok, "Is ice cold? Yes or no.")
outputs.sort(key=lambda completion: completion.cumulative_logprob, reverse=True)
for completion in outputs:
    print(round(completion.cumulative_logprob, 2), completion.text)
