"""A prefilled answer, and the header of a new one, in one call."""

import llmcourse

model, tok = llmcourse.load()
messages = [
    {"role": "user", "content": "Give the capital of Peru as JSON."},
    {"role": "assistant", "content": '{"capital": "'},
]
inputs = tok.apply_chat_template(
    messages,
    add_generation_prompt=True,
    continue_final_message=True,
    return_tensors="pt",
    return_dict=True,
)
print(tok.decode(model.generate(**inputs, max_new_tokens=10)[0]))
