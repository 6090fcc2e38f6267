"""The system message says what to do, and the model does not do it."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = (
    "{% for m in messages %}{% if m.role != 'system' %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
messages = [
    {"role": "system", "content": "Translate the text into French."},
    {"role": "user", "content": "Good morning, my friends."},
]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
