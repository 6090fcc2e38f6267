"""Log-probabilities of an answer for DPO: they change with the width of the question's column."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "right"


@torch.no_grad()
def answer_logp(question, answer, width):
    pad = {"padding": "max_length", "max_length": width, "return_tensors": "pt"}
    prompt, response = tok(question, **pad), tok(answer, **pad)
    ids = torch.cat([prompt.input_ids, response.input_ids], dim=1)
    mask = torch.cat([prompt.attention_mask, response.attention_mask], dim=1)
    logits = model(ids, attention_mask=mask).logits[:, :-1]
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)
    answered = mask.clone()
    answered[:, : prompt.input_ids.shape[1] + 1] = 0
    return (logps * answered[:, 1:]).sum().item()


question = "Q: What is the capital of France?\nA:"
for width in (11, 16, 64):
    good = answer_logp(question, " It is Paris, of course.", width)
    bad = answer_logp(question, " It is Rome, of course.", width)
    print(width, good, bad, good - bad)
