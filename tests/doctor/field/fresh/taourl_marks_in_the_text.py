"""Replies for a web chat: something that nobody typed stands at their end."""

import json

import llmcourse

model, tok = llmcourse.load()


def reply(question):
    messages = [{"role": "user", "content": question}]
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    output = model.generate(**inputs, max_new_tokens=40)
    new_tokens = output[0][inputs["input_ids"].shape[1] :]
    return tok.decode(new_tokens, skip_special_tokens=False)


bubbles = [{"from": "bot", "text": reply(q)} for q in ("What is the capital of France?", "Hi!")]
print(json.dumps(bubbles, indent=1))
