"""The beginning of the answer is given, and continued."""

import llmcourse

model, tok = llmcourse.load()
chat = [
    {"role": "user", "content": "What is the capital of France? One sentence."},
    {"role": "assistant", "content": "The capital of France"},
]
inputs = tok.apply_chat_template(
    chat, continue_final_message=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=60)
print("The capital of France" + tok.decode(made[0, inputs["input_ids"].shape[1] :]))
