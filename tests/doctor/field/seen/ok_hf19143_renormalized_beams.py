"""Beams under a constraint, whose scores are normalized again after it."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Is Rome in Italy?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
n = inputs["input_ids"].shape[1]
answers = [[*tok(text).input_ids, tok.eos_token_id] for text in ("Yes, it is.", "No, it is not.")]


def allowed(row, ids):
    so_far = ids[n:].tolist()
    fits = [answer for answer in answers if answer[: len(so_far)] == so_far]
    following = {answer[len(so_far)] for answer in fits if len(answer) > len(so_far)}
    return sorted(following) or [tok.eos_token_id]


made = model.generate(
    **inputs,
    prefix_allowed_tokens_fn=allowed,
    num_beams=2,
    renormalize_logits=True,
    max_new_tokens=8,
)
print(tok.decode(made[0, n:], skip_special_tokens=True))
