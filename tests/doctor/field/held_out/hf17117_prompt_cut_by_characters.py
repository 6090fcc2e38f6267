"""The prompt is taken off by its number of characters, and the answer loses its beginning."""

import llmcourse

model, tok = llmcourse.load()
prompt = tok.apply_chat_template(
    [{"role": "user", "content": "Who is the mother of King Hamlet's son?"}],
    add_generation_prompt=True,
    tokenize=False,
)
inputs = tok(prompt, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=60)
text = tok.decode(made[0], skip_special_tokens=True)
print(text[len(prompt) :])
