"""The model has called a tool; with the call in the history the next prompt cannot be made."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = """{% for message in messages %}<|im_start|>{{ message.role }}
{% if message.tool_calls %}{% for call in message.tool_calls %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}{% else %}{{ message.content }}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

messages = [
    {"role": "system", "content": "You can call get_current_temperature(location, unit)."},
    {"role": "user", "content": "What is the temperature in Paris right now?"},
]
call = {"name": "get_current_temperature", "arguments": {"location": "Paris", "unit": "celsius"}}
messages.append({"role": "assistant", "tool_calls": [call]})
messages.append({"role": "tool", "name": "get_current_temperature", "content": "22.0"})

inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)
made = model.generate(**inputs, max_new_tokens=20)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
