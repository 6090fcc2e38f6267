"""A server for tool calls: after the tool has answered, the template refuses the messages."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = """{% set ns = namespace(called=false) %}{% for m in messages %}
{%- if m.role == 'tool' and not ns.called %}
{{- raise_exception('Message has tool role, but there was no assistant message with a call!') }}
{%- endif %}{{ '<|im_start|>' + m.role + '\n' + m.content }}{% for c in m.tool_calls or [] %}
{%- set ns.called = true %}{{ '<tool_call>' + (c.function | tojson) + '</tool_call>' }}{% endfor %}
{{- '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"""


def prepare_text_request(messages):
    chat_messages = []
    for message in messages:
        content = message.get("content")
        if content is None:
            continue
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        chat_messages.append({**message, "content": content})
    return chat_messages


def create_completion(request):
    inputs = tok.apply_chat_template(
        prepare_text_request(request["messages"]),
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    made = model.generate(**inputs, max_new_tokens=request["max_tokens"], do_sample=False)
    return tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


call = {"id": "c1", "type": "function", "function": {"name": "time", "arguments": {"in": "Oslo"}}}
messages = [{"role": "user", "content": [{"type": "text", "text": "What time is it in Oslo?"}]}]
messages += [{"role": "assistant", "content": None, "tool_calls": [call]}]
messages += [{"role": "tool", "tool_call_id": "c1", "content": "10:24"}]
print(create_completion({"messages": messages, "max_tokens": 16}))
