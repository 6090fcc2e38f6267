"""Beam search by hand, as a course has it: the best answer has its end, and words behind it."""

import torch
from torch.nn import functional as F

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def beam_search(ids, beam_width=2, max_len=11, eos_token=0):
    model.eval()
    beam = [(0.0, ids.tolist())]
    for _ in range(max_len):
        all_candidates = []
        for log_prob, seq in beam:
            logits = model(torch.tensor([seq])).logits
            log_probs = F.log_softmax(logits[0, -1], dim=-1)
            values, indices = torch.topk(log_probs, beam_width)
            for value, index in zip(values.tolist(), indices.tolist(), strict=True):
                all_candidates.append((log_prob + value, [*seq, index]))
                if index == eos_token:
                    break
        beam = sorted(all_candidates, key=lambda item: item[0], reverse=True)[:beam_width]
    return beam[0][1]


inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
ids = inputs["input_ids"][0]
best = beam_search(ids, eos_token=tok.eos_token_id)
print(tok.decode(best[len(ids) :]))
