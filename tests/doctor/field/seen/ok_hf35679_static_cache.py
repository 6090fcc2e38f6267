"""A static cache by the generation config."""

from transformers import GenerationConfig

import llmcourse

model, tok = llmcourse.load()
config = GenerationConfig(
    cache_implementation="static", max_new_tokens=40, eos_token_id=2, pad_token_id=2
)
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, generation_config=config)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
