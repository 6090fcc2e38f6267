"""More rows than tokens, as filling up to a round number leaves them: harmless."""

import llmcourse

model, tok = llmcourse.load()
model.resize_token_embeddings(len(tok) + 64, mean_resizing=False)
with_rows = model.get_input_embeddings().weight
with_rows.data[len(tok) :] = 0.0
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
