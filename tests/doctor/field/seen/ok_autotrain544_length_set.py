"""The length is set once, on the model's generation config."""

import llmcourse

model, tok = llmcourse.load()
model.generation_config.max_new_tokens = 80
for city in ("Rome", "Madrid"):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": f"In which country is {city}?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    made = model.generate(**inputs)
    print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
