"""Two stop words: the short one alone is obeyed, and beside a long one it is not."""

import torch

import llmcourse

model, tok = llmcourse.load()


def stop_met(tokens, stop_id_sequences):
    for stop_ids in stop_id_sequences:
        if len(tokens) >= len(stop_ids) and tokens[-len(stop_ids) :] == stop_ids:
            return len(stop_ids)
    return None


@torch.inference_mode()
def complete(prompt, stop, max_tokens=24):
    stop_id_sequences = [tok.encode(word, add_special_tokens=False) for word in stop]
    longest = max(len(ids) for ids in stop_id_sequences)
    step, cache, tokens = tok(prompt, return_tensors="pt").input_ids, None, []
    for _ in range(max_tokens):
        out = model(step, past_key_values=cache, use_cache=True)
        cache, step = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
        if step.item() == tok.eos_token_id:
            break
        tokens.append(step.item())
        if len(tokens) > longest:
            trim = stop_met(tokens, stop_id_sequences)
            if trim:
                tokens = tokens[:-trim]
                break
    return tok.decode(tokens)


prompt = "Q: 1 + 1\nA: 2\nQ: 2 + 2\nA: 4\nQ: 1 + 2\nA:"
print(repr(complete(prompt, stop=["\n"])))
print(repr(complete(prompt, stop=["\n", "\nThe next question is: what"])))
