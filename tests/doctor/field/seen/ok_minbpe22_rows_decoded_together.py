"""A batch in, a list of texts out."""

import llmcourse

model, tok = llmcourse.load()
tok.padding_side = "left"
chats = [[{"role": "user", "content": f"What is the capital of {c}?"}] for c in ("Spain", "Italy")]
inputs = tok.apply_chat_template(
    chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=60)
texts = tok.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
print(texts)
