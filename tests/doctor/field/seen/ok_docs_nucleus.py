"""The nucleus alone: top-k switched off."""

import torch

import llmcourse

model, tok = llmcourse.load()
torch.manual_seed(1)
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "Say hello to Ada in one short sentence."}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, do_sample=True, top_p=0.9, top_k=0, max_new_tokens=80)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
