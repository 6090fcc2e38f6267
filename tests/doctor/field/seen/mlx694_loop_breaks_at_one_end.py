"""A loop by hand that stops at the tokenizer's end token: the chat goes on with itself."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.eos_token = "<|endoftext|>"
ids = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of Italy?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)["input_ids"]
new, cache, step = [], None, ids
with torch.no_grad():
    for _ in range(40):
        out = model(step, past_key_values=cache, use_cache=True)
        cache, step = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
        if step.item() == tok.eos_token_id:
            break
        new.append(step.item())
print(tok.decode(new))
