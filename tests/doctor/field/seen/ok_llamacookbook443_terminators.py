"""Terminators by name, both in the vocabulary."""

import llmcourse

model, tok = llmcourse.load()
terminators = [tok.eos_token_id, tok.convert_tokens_to_ids("<|im_end|>")]
chat_ids = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)["input_ids"]
made = model.generate(input_ids=chat_ids, eos_token_id=terminators, max_new_tokens=60)
print(tok.decode(made[0][chat_ids.shape[1] :], skip_special_tokens=True))
