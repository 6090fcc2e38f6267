"""A stream that decodes all new tokens at each step, and holds half a character back."""

import torch

import llmcourse

model, tok = llmcourse.load()
step = tok.apply_chat_template(
    [{"role": "user", "content": "Write hello in Chinese characters."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)["input_ids"]
new, cache, shown = [], None, ""
with torch.inference_mode():
    for _ in range(100):
        out = model(step, past_key_values=cache, use_cache=True)
        cache, step = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
        if step.item() == tok.eos_token_id:
            break
        new.append(step.item())
        text = tok.decode(new)
        if text.endswith("\N{REPLACEMENT CHARACTER}"):
            continue
        print(text[len(shown) :], end="", flush=True)
        shown = text
