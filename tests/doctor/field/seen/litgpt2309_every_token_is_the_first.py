"""top_k 0 is "off" in the request, and the answer is one token over and over."""

import torch

import llmcourse

model, tok = llmcourse.load()


def sample(logits, temperature=1.0, top_k=None, top_p=1.0):
    if not 0.0 <= top_p <= 1.0:
        raise ValueError(f"top_p must be in [0, 1], got {top_p}")
    logits = logits[0, -1]
    if top_k is not None:
        values, indices = torch.topk(logits, min(top_k, logits.size(-1)))
        logits = torch.full_like(logits, float("-inf")).scatter_(-1, indices, values)
    if temperature > 0.0:
        probs = torch.softmax(logits / temperature, dim=-1)
        return torch.multinomial(probs, num_samples=1)
    return torch.argmax(logits, dim=-1, keepdim=True)


@torch.inference_mode()
def generate(ids, max_new_tokens, eos_id, **sampling):
    for _ in range(max_new_tokens):
        token = sample(model(ids).logits, **sampling)
        ids = torch.cat([ids, token.view(1, 1)], dim=-1)
        if token.item() == eos_id:
            break
    return ids


request = {"prompt": "Name a colour.", "temperature": 0.0, "top_k": 0, "max_new_tokens": 12}
messages = [{"role": "user", "content": request.pop("prompt")}]
encoded = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
prompt = encoded["input_ids"]
out = generate(prompt, eos_id=tok.eos_token_id, **request)
print(out[0, prompt.shape[1] :].tolist(), repr(tok.decode(out[0, prompt.shape[1] :])))
