"""Three runs, each with a seed of its own: different, and repeatable."""

import torch

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Name an animal. One word."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
for run in range(3):
    torch.manual_seed(100 + run)
    made = model.generate(**inputs, do_sample=True, top_k=50, max_new_tokens=120)
    print(run, tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
