"""Prompt lookup for one prompt that has to be repeated."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Repeat: the quick brown fox jumps over the lazy dog."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, prompt_lookup_num_tokens=4, max_new_tokens=80)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
