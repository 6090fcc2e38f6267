"""The model's config samples; the call says that it should not, and clears the rest."""

import llmcourse

model, tok = llmcourse.load()
model.generation_config.update(do_sample=True, temperature=0.6, top_p=0.95, top_k=20)
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of Spain?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(
    **inputs, do_sample=False, temperature=None, top_p=None, top_k=None, max_new_tokens=60
)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
