"""A template with tools and a date of its own: rendered as text first, then tokenized."""

import json

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = """{%- if not date_string is defined %}
{%- set date_string = "26 Jul 2024" %}{% endif -%}
<|im_start|>system
Today Date: {{ date_string }}
{% if tools %}You may call these functions, as JSON:
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}{% endif %}<|im_end|>
{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def get_weather(city: str):
    """
    Tell what the weather is like.

    Args:
        city: The name of the city.
    """
    return json.dumps({"city": city, "weather": "rain"})


messages = [{"role": "user", "content": "Hello!"}]
prompt = tok.apply_chat_template(
    messages,
    tools=[get_weather],
    date_string="27 Nov 2026",
    add_generation_prompt=True,
    tokenize=False,
)
assert "27 Nov 2026" in prompt and '"get_weather"' in prompt
inputs = tok(prompt, return_tensors="pt", add_special_tokens=False)
made = model.generate(**inputs, max_new_tokens=20, do_sample=False)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
