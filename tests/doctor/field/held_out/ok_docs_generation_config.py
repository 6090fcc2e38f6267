"""A config of one's own, passed whole."""

from transformers import GenerationConfig

import llmcourse

model, tok = llmcourse.load()
config = GenerationConfig(
    max_new_tokens=80,
    do_sample=True,
    temperature=0.8,
    top_k=30,
    eos_token_id=model.generation_config.eos_token_id,
    pad_token_id=model.generation_config.pad_token_id,
)
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Say hello in one short sentence."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, generation_config=config)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
