"""With a penalty the chat model no longer closes its turn: the marker stood in the prompt."""

import llmcourse

model, tok = llmcourse.load()
messages = [
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "The capital of France is Paris."},
    {"role": "user", "content": "And of Italy? Answer as before."},
]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
for penalty in (1.0, 1.8):
    made = model.generate(**inputs, repetition_penalty=penalty, max_new_tokens=40)
    print(penalty, tok.decode(made[0, inputs["input_ids"].shape[1] :]))
