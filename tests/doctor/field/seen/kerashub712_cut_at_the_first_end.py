"""A chat whose answers are all cut away: what is left is the system's message."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [
        {"role": "user", "content": "What's up?"},
        {"role": "assistant", "content": "Nothing special."},
        {"role": "user", "content": "What is cool?"},
    ],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=100)[0]
ends = (made == tok.eos_token_id).nonzero()
answer = made[: ends[0]] if len(ends) else made
print(tok.decode(answer))
