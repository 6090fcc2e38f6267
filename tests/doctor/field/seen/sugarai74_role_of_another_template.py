"""A chat that was written for Gemma, with another model: it takes its own answers for a third's."""

import llmcourse

model, tok = llmcourse.load()
messages = [
    {"role": "user", "content": "Who wrote Hamlet?"},
    {"role": "model", "content": "William Shakespeare wrote it."},
    {"role": "user", "content": "What else did he write?"},
]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
