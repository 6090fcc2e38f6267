"""Without thinking, the prompt ends with thoughts that are empty: that is how it is told not to."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
text = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    tokenize=False,
    add_generation_prompt=True,
    enable_thinking=False,
)
inputs = tok([text], add_special_tokens=False, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=100)
print(tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True))
