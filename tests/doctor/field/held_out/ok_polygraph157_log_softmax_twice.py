"""log_softmax of what is log_softmax already: it changes nothing."""

import torch

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The opposite of cold is", return_tensors="pt")
made = model.generate(
    **inputs,
    max_new_tokens=6,
    do_sample=False,
    output_logits=True,
    return_dict_in_generate=True,
)
new = made.sequences[0, inputs.input_ids.shape[1] :]
once = torch.cat(made.logits).log_softmax(-1)
twice = once.log_softmax(-1)
print(once.gather(1, new[:, None]).sum().item(), twice.gather(1, new[:, None]).sum().item())
