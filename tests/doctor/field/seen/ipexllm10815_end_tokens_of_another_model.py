"""Llama 3's list of end tokens, for another model: two of the three are not in its vocabulary."""

import llmcourse

model, tok = llmcourse.load()
stop_words_ids = [
    tok.eos_token_id,
    tok.convert_tokens_to_ids("<|eot_id|>"),
    tok.convert_tokens_to_ids("<|end_of_text|>"),
]
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Hi! Who are you?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60, eos_token_id=stop_words_ids)
print(stop_words_ids, tok.decode(made[0, inputs["input_ids"].shape[1] :]))
