"""The prompt is taken off as tokens, before anything is decoded."""

import llmcourse

model, tok = llmcourse.load()
prompt = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of Italy?"}],
    add_generation_prompt=True,
    tokenize=False,
)
inputs = tok([prompt], return_tensors="pt")
outputs = model.generate(**inputs, max_new_tokens=60)
answers = [
    tok.decode(out[len(ids) :], skip_special_tokens=True)
    for ids, out in zip(inputs.input_ids, outputs, strict=True)
]
print(answers)
