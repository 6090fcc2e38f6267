"""A loop by hand in inference mode, with a cache that is fed back."""

import torch

import llmcourse

model, tok = llmcourse.load()
ids = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)["input_ids"]
step, cache, new = ids, None, []
with torch.inference_mode():
    for _ in range(40):
        out = model(step, past_key_values=cache, use_cache=True)
        cache, step = out.past_key_values, out.logits[:, -1:].argmax(-1)
        if step.item() == tok.eos_token_id:
            break
        new.append(step.item())
print(tok.decode(new))
