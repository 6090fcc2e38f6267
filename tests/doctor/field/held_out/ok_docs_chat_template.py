"""A chat as the guide has it."""

import llmcourse

model, tok = llmcourse.load()
messages = [
    {"role": "system", "content": "You are a friendly chatbot."},
    {"role": "user", "content": "What is the capital of France?"},
]
chat = tok.apply_chat_template(
    messages, tokenize=True, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
outputs = model.generate(**chat, max_new_tokens=128)
print(tok.decode(outputs[0][chat["input_ids"].shape[1] :], skip_special_tokens=True))
