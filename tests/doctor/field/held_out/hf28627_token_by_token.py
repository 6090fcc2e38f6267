"""A display that shows token by token: emoji and Chinese come out as question marks."""

import llmcourse

model, tok = llmcourse.load()
prompt = "Copy: 你好世界 🙂🙃\nCopy: 你好世界 🙂🙃\nCopy:"
inputs = tok(prompt, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=16)
for token in made[0, inputs.input_ids.shape[1] :]:
    print(tok.decode(token), end="", flush=True)
