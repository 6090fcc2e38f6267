"""Answers for a reward model: each goes on long after it was complete, up to the limit."""

import llmcourse

model, tok = llmcourse.load()
questions = ["What is the capital of France?", "Name a colour."]
chats = [[{"role": "user", "content": question}] for question in questions]
inputs = tok.apply_chat_template(
    chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
)
longest = inputs["input_ids"].shape[1] + 60
answers = model.generate(**inputs, max_length=longest, min_length=longest, do_sample=False)
for row in answers:
    print(tok.decode(row[inputs["input_ids"].shape[1] :], skip_special_tokens=True))
