"""The answer is right, and then 'assistant' follows and a next answer, until the limit."""

import llmcourse

model, tok = llmcourse.load()
model.generation_config.eos_token_id = tok.convert_tokens_to_ids("<|endoftext|>")
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=40, pad_token_id=0)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
