"""Ġ and Ċ all over the answer."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Write two short lines about rain."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=80)
tokens = tok.convert_ids_to_tokens(made[0, inputs["input_ids"].shape[1] :].tolist())
print("".join(tokens))
