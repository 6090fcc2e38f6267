"""Settings saved into a folder and read from there."""

import tempfile

from transformers import GenerationConfig

import llmcourse

model, tok = llmcourse.load()
with tempfile.TemporaryDirectory() as folder:
    GenerationConfig.from_model_config(model.config).save_pretrained(folder)
    config = GenerationConfig.from_pretrained(folder, max_new_tokens=60, num_beams=2)
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, generation_config=config)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
