"""Every answer of an evaluation is one token long."""

import llmcourse

model, tok = llmcourse.load()
context = 512
prompt = tok.apply_chat_template(
    [{"role": "user", "content": "How many legs has a spider?"}],
    tokenize=False,
    add_generation_prompt=True,
)
tok.padding_side = "left"
inputs = tok(
    prompt,
    padding="max_length",
    truncation=True,
    max_length=context - 1,
    add_special_tokens=False,
    return_tensors="pt",
)
room = context - inputs.input_ids.shape[1]
made = model.generate(**inputs, max_new_tokens=min(256, room))
print(tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True))
