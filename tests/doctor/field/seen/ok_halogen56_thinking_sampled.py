"""A thinking model with the sampler of its card, and room enough to come to an end."""

import torch

import llmcourse

model, tok = llmcourse.load()
torch.manual_seed(0)
tok.chat_template = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    enable_thinking=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(
    **inputs, do_sample=True, temperature=0.6, top_p=0.95, top_k=20, max_new_tokens=200
)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
