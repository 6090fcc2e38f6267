"""The template takes no system message, so its text stands before the first question."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
system = "You answer in one short sentence."
messages = [{"role": "user", "content": f"{system}\n\nWhat is the capital of Spain?"}]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=100)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
