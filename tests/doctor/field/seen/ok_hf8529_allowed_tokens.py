"""The answer is one of three names, token by token, counted from the prompt's end."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Which is a city: Rome, Rhine or Rigi?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
length, end = inputs["input_ids"].shape[1], tok.eos_token_id
names = [[*tok(name).input_ids, end] for name in ("Rome", "Rhine", "Rigi")]


def allowed(batch_id, ids):
    said = ids[length:].tolist()
    going_on = [name for name in names if name[: len(said)] == said and said != name]
    return [name[len(said)] for name in going_on] or [end]


made = model.generate(**inputs, prefix_allowed_tokens_fn=allowed, max_new_tokens=8)
print(tok.decode(made[0, length:], skip_special_tokens=True))
