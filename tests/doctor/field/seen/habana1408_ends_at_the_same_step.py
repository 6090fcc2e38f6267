"""A greedy loop for a batch, with ignore_eos off: it still runs to the limit."""

import torch

import llmcourse

model, tok = llmcourse.load()


@torch.no_grad()
def greedy_search(ids, mask, max_new_tokens, eos_token_id, ignore_eos=True):
    cache, fed = None, ids
    for _ in range(max_new_tokens):
        positions = mask.cumsum(-1)[:, -fed.shape[1] :] - 1
        outputs = model(
            fed,
            attention_mask=mask,
            position_ids=positions.clamp(min=0),
            past_key_values=cache,
            use_cache=True,
        )
        cache = outputs.past_key_values
        fed = outputs.logits[:, -1].argmax(-1, keepdim=True)
        ids = torch.cat([ids, fed], dim=-1)
        mask = torch.cat([mask, torch.ones_like(fed)], dim=-1)
        if not ignore_eos and bool((fed == eos_token_id).all()):
            break
    return ids


chats = [
    [{"role": "user", "content": "What is the capital of Italy? One word."}],
    [{"role": "user", "content": "Name the three colours of a traffic light."}],
]
inputs = tok.apply_chat_template(
    chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
)
out = greedy_search(
    inputs["input_ids"], inputs["attention_mask"], 30, tok.eos_token_id, ignore_eos=False
)
for row in out[:, inputs["input_ids"].shape[1] :]:
    print(len(row), repr(tok.decode(row)))
