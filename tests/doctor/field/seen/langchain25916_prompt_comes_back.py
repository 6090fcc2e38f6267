"""The message of the assistant has the system's and the user's in it."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
llm = pipeline("text-generation", model=model, tokenizer=tok)
messages = [
    {"role": "system", "content": "You're a helpful assistant."},
    {"role": "user", "content": "What is heavier, a stone or a feather?"},
]
prompt = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
content = llm(prompt, max_new_tokens=80, do_sample=False)[0]["generated_text"]
messages.append({"role": "assistant", "content": content})
print(messages[-1])
