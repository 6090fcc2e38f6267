"""The end token was set on model.config after fine-tuning, and answers run on."""

import llmcourse

model, tok = llmcourse.load()
model.generation_config.eos_token_id = 0  # as the base model came
model.config.pad_token_id = tok.pad_token_id
model.config.eos_token_id = tok.convert_tokens_to_ids("<|im_end|>")
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of Poland?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=40)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :]))
