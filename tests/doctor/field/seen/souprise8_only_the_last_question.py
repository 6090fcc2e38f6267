"""A chat that remembers nothing: 'What is my name?' gets no name."""

import llmcourse

model, tok = llmcourse.load()
messages = []


def chat(text):
    messages.append({"role": "user", "content": text})
    last = [message for message in messages if message["role"] == "user"][-1]
    inputs = tok.apply_chat_template(
        [last], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**inputs, max_new_tokens=60)
    reply = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    messages.append({"role": "assistant", "content": reply})
    return reply


print(chat("Hello! My name is Ada, and I live in Oslo."))
print(chat("What is my name?"))
