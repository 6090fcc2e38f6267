"""Beam search, two sequences of four beams."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the capital of France?"}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(
    **inputs, num_beams=4, num_return_sequences=2, early_stopping=True, max_new_tokens=60
)
for row in made:
    print(tok.decode(row[inputs["input_ids"].shape[1] :], skip_special_tokens=True))
