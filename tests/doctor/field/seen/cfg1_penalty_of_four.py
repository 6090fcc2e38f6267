"""A penalty of 4.0 against repetition: no loops any more, and no JSON either."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok(
    'This is a valid json string for a person: {"name": "Ada", "age": 36,', return_tensors="pt"
)
made = model.generate(**inputs, repetition_penalty=4.0, do_sample=False, max_new_tokens=60)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
