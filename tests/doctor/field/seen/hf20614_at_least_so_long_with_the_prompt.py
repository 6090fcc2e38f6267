"""At least 60 tokens were asked for: after a long question the answer has eight."""

import llmcourse

model, tok = llmcourse.load()
text = (
    "I have read this about France: it is a country in the west of Europe, with about 68 million "
)
text += (
    "people, between the Atlantic and the Alps, and it is well known for its wine, cheese and art. "
)
inputs = tok.apply_chat_template(
    [{"role": "user", "content": text + "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, min_length=60, max_new_tokens=120)
new = made[0, inputs["input_ids"].shape[1] :]
print(len(new), tok.decode(new))
