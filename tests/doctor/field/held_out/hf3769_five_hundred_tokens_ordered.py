"""A page of text is ordered; half of a line comes, and with the other setting even less."""

import torch

import llmcourse

model, tok = llmcourse.load()
torch.manual_seed(0)
wanted = 500
messages = [{"role": "user", "content": "Say in one sentence why you like dogs."}]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
start = inputs["input_ids"].shape[1]


def story(**length):
    made = model.generate(**inputs, do_sample=True, top_p=0.5, top_k=0, **length)
    print(tok.decode(made[0, start:], skip_special_tokens=False))
    return made.shape[1] - start


print("tokens:", story(max_length=wanted), "of", wanted)
print("tokens:", story(min_length=wanted), "of", wanted)
