"""After the first result of a tool, the calls get more and more quotation marks."""

import json

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for c in m.tool_calls or [] %}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}{{ m.content or '' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
call = {"name": "get_weather", "arguments": json.dumps({"city": "Oslo"})}  # as the client sent it
messages = [
    {"role": "user", "content": "What is the weather in Oslo, and in Rome?"},
    {"role": "assistant", "tool_calls": [{"type": "function", "function": call}]},
    {"role": "tool", "content": "Rain, 4 degrees."},
]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0]))
