"""The raw row for the log, the clean text for the reader."""

import logging

import llmcourse

logging.basicConfig(level=logging.INFO)
model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of Japan?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=60)
logging.info("raw: %s", tok.decode(made[0]))
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
