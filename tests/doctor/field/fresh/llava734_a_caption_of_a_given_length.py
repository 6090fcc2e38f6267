"""Captions for an encoder that takes 77 tokens at most; the captions are bad at their ends."""

import llmcourse

model, tokenizer = llmcourse.load()
LENGTH = 24  # what the encoder takes


def caption(notes, max_new_tokens):
    messages = [
        {"role": "user", "content": f"Describe the picture in detail. In it one sees: {notes}."}
    ]
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    output_ids = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    new = output_ids[0, inputs["input_ids"].shape[1] :]
    return tokenizer.decode(new, skip_special_tokens=True).strip()


for notes in ("a dog, a red ball, a lawn", "two women, a table, a lamp, a cake"):
    print(repr(caption(notes, max_new_tokens=LENGTH)))
