"""Greedy decoding, named."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of Spain?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
