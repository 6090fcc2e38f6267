"""A batch by hand: the short answer is followed by more, and its log-probabilities are too many."""

import torch

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def generate(questions, new):
    chats = [[{"role": "user", "content": question}] for question in questions]
    inputs = tok.apply_chat_template(
        chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    start = ids.shape[1]
    finished = torch.zeros(len(ids), dtype=torch.bool)
    logps = [[] for _ in questions]
    for _ in range(new):
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        logits = model(ids, attention_mask=mask, position_ids=positions).logits[:, -1]
        token = logits.argmax(-1)
        for row, value in enumerate(logits.log_softmax(-1)):
            logps[row].append(value[token[row]].item())
        ids = torch.cat([ids, token[:, None]], dim=1)
        mask = torch.cat([mask, torch.ones_like(token[:, None])], dim=1)
        finished |= token == tok.eos_token_id
        if finished.all():
            break
    return tok.batch_decode(ids[:, start:]), [len(row) for row in logps]


print(*generate(["What is the capital of France?", "What is a violin?"], 18), sep="\n")
