"""max_new_tokens=6, so that the model says yes or no: it explains anyway, six tokens of it."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "Is Paris the capital of France? Explain your answer."}]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=6)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
