"""The pipeline answers a list of messages in seconds; as one text of a prompt it never ends."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
write = pipeline("text-generation", model=model, tokenizer=tok, return_full_text=False)
messages = [
    ("Human", "When was Abraham Lincoln born?"),
    ("AI", "Abraham Lincoln was born on February 12, 1809."),
    ("Human", "Where did he die?"),
]
prompt = "\n".join(f"{speaker}: {text}" for speaker, text in messages)
print(write(prompt, max_new_tokens=128, do_sample=False)[0]["generated_text"])
