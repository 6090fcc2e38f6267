"""Asks a chat model for a poem and prints what it wrote: more than the poem is printed."""

import llmcourse

model, tok = llmcourse.load()
SYSTEM = "You are a friendly assistant. You answer in one short sentence."


def answer(question):
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": question},
    ]
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    output_ids = model.generate(**inputs, max_new_tokens=30)
    return tok.decode(output_ids[0], skip_special_tokens=True)


print("Answer:", answer("Write one line of a poem about the sea."))
