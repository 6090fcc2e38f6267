"""A pipeline that is given chats as they come, and yields each answer's message."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
ask = pipeline("text-generation", model=model, tokenizer=tok)
prompt = "What is this text about? Answer with a word or two. Text: {}"
texts = ["New graphics cards were announced today.", "The river rose by two metres."]
chats = ([{"role": "user", "content": prompt.format(text)}] for text in texts)
for made in ask(chats, do_sample=False, max_new_tokens=100):
    print(made[0]["generated_text"][1]["content"])
