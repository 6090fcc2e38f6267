"""Three samples of one prompt, grouped by prompt."""

import torch

import llmcourse

model, tok = llmcourse.load()
torch.manual_seed(0)
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Is the sun a star? Answer yes or no."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(
    **inputs, do_sample=True, temperature=0.7, top_k=50, num_return_sequences=3, max_new_tokens=100
)
print(tok.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
