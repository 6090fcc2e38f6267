"""System role not supported: the template refuses what other models take."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
messages = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is a fjord?"},
]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
print(tok.decode(model.generate(**inputs, max_new_tokens=20)[0]))
