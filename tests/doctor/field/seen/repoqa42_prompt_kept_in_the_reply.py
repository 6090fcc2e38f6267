"""All scores drop to nothing: each reply is the prompt and then the reply."""

import llmcourse

model, tok = llmcourse.load()
prompt_tokens = tok.apply_chat_template(
    [{"role": "user", "content": "Name the function that adds two numbers: add or sub?"}],
    return_tensors="pt",
    add_generation_prompt=True,
    return_dict=True,
)
output = model.generate(**prompt_tokens, max_new_tokens=60)
replies = [tok.decode(x, skip_special_tokens=True) for x in output]
print(replies)
