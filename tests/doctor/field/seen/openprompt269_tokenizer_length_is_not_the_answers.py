"""A maximum was set, in the tokenizer, and the answer still breaks off in mid-sentence."""

from transformers import AutoTokenizer

import llmcourse

model, _ = llmcourse.load()
tok = AutoTokenizer.from_pretrained(model.name_or_path, model_max_length=512)
messages = [{"role": "user", "content": "Explain in two sentences why the sky is blue."}]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True, max_length=512
)
made = model.generate(**inputs)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
