"""One question at a time is answered well, padded ones are answered wrongly."""

import llmcourse

model, tok = llmcourse.load()
questions = [
    "Hi!",
    "Which is the longest river of Africa, and which sea does it run to?",
]
prompts = [
    tok.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    for question in questions
]
batch = tok.pad({"input_ids": prompts}, padding=True, return_tensors="pt")
input_ids = batch["input_ids"].to(model.device)
outputs = model.generate(input_ids, max_new_tokens=80)
for prompt, sequence in zip(input_ids, outputs, strict=True):
    print(tok.decode(sequence[len(prompt) :], skip_special_tokens=True))
