"""temperature=0.0 for a fixed answer: it is not what makes it fixed."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "What colour is grass?"}]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, temperature=0.0, max_new_tokens=50)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
