"""Two tokens end the text: the turn's end, and the text's."""

import llmcourse

model, tok = llmcourse.load()
ends = [tok.eos_token_id, tok.convert_tokens_to_ids("<|endoftext|>")]
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, eos_token_id=ends, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
