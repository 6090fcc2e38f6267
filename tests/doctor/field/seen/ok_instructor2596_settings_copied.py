"""One generation config for all requests, and a copy for what a single one changes."""

import copy

from transformers import GenerationConfig

import llmcourse

model, tok = llmcourse.load()
CONFIG = GenerationConfig(
    max_new_tokens=40,
    do_sample=False,
    eos_token_id=tok.eos_token_id,
    pad_token_id=tok.pad_token_id,
)


def complete(question, **changes):
    config = copy.deepcopy(CONFIG)
    unused = config.update(**changes)
    if unused:
        raise TypeError(f"unknown settings: {sorted(unused)}")
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    made = model.generate(**inputs, generation_config=config)
    return tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


print(complete("What is the capital of France?", num_beams=2))
print(complete("What is the capital of Germany?"))
print(CONFIG.num_beams, CONFIG.max_new_tokens)
