"""A server streams what is new of the text in each step: emoji arrive as question marks."""

import torch

import llmcourse

model, tok = llmcourse.load()


@torch.inference_mode()
def stream(messages, max_tokens=24):
    step = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    cache, tokens, text = None, [], ""
    for _ in range(max_tokens):
        out = model(step, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        step = out.logits[:, -1].argmax(-1, keepdim=True)
        if step.item() == tok.eos_token_id:
            break
        tokens.append(step.item())
        decoded = tok.decode(tokens)
        delta, text = decoded[len(text) :], decoded
        yield {"choices": [{"delta": {"content": delta}}]}


events = stream([{"role": "user", "content": "Write a party emoji."}])
print("".join(event["choices"][0]["delta"]["content"] for event in events))
