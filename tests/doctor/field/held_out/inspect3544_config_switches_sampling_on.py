"""No sampling was asked for, and an evaluation gives other answers each time."""

import llmcourse

model, tok = llmcourse.load()
model.generation_config.do_sample = True  # as many chat models have it in their folder
messages = [{"role": "user", "content": "Name an animal. One word."}]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
for _ in range(3):
    made = model.generate(**inputs, max_new_tokens=60)
    print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
