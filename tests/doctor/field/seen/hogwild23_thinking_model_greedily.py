"""A thinking model decoded greedily: it turns in circles before it comes to an answer."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = (  # as Qwen 3 has it, shortened
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}{% endif %}"
)
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "How many days are there in three weeks?"}],
    add_generation_prompt=True,
    enable_thinking=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, do_sample=False, max_new_tokens=80)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :]))
