"""Since version 5 the template gives a dict, and the loop asks for its shape."""

import torch

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "How many students are 20% of 50?"}]
ids = tok.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
length = ids.shape[1]
with torch.no_grad():
    for _ in range(10):
        new = model(ids).logits[:, -1].argmax(-1, keepdim=True)
        ids = torch.cat([ids, new], dim=1)
print(tok.decode(ids[0, length:]))
