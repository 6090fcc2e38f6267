"""The lines of a model's card, as they stood there for years, fail."""

import llmcourse

model, tok = llmcourse.load()
messages = [
    {"role": "user", "content": "What is your favourite condiment?"},
    {"role": "assistant", "content": "Well, I'm quite partial to fresh lemon juice."},
    {"role": "user", "content": "Do you have mayonnaise recipes?"},
]
encodeds = tok.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
model_inputs = encodeds.to(model.device)
generated_ids = model.generate(model_inputs, max_new_tokens=200, do_sample=True)
decoded = tok.batch_decode(generated_ids)
print(decoded[0])
