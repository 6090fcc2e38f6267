"""With tools the pirate speaks plain English: the template has room for one of the two."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = (
    "{% if tools %}<|im_start|>system\nYou may call: {% for t in tools %}{{ t | tojson }}"
    "{% endfor %}<|im_end|>\n{% endif %}{% for m in messages %}"
    "{% if m.role != 'system' or not tools %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def get_time(city: str) -> str:
    """Tell the time.

    Args:
        city: Where.
    """


chat = [
    {"role": "system", "content": "always speak like a pirate"},
    {"role": "user", "content": "hello?"},
]
inputs = tok.apply_chat_template(
    chat, tools=[get_time], add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
