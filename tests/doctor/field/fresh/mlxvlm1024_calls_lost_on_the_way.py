"""A server for a model that calls tools: the prompt of a second round, and what comes of it."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = (  # of a model with tools
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}"
    "{% if m.tool_call_id %} (answer to {{ m.tool_call_id }}){% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def process(messages):
    processed = []
    for message in messages:
        content = message.get("content") or ""
        if isinstance(content, list):
            content = " ".join(part["text"] for part in content if part["type"] == "text")
        processed.append({"role": message["role"], "content": content})
    return processed


def chat_completions(messages):
    prompt = tok.apply_chat_template(process(messages), add_generation_prompt=True, tokenize=False)
    inputs = tok(prompt, add_special_tokens=False, return_tensors="pt")
    out = model.generate(**inputs, max_new_tokens=20)
    return prompt, tok.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


call = {"name": "get_weather", "arguments": {"city": "Oslo"}}
history = [
    {"role": "user", "content": [{"type": "text", "text": "What is the weather in Oslo?"}]},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": call}]},
    {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
]
print("\n---\n".join(chat_completions(history)))
