"""A pipeline whose answer alone is wanted, greedily."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
ask = pipeline("text-generation", model=model, tokenizer=tok, return_full_text=False)
question = [{"role": "user", "content": "What is the capital of France?"}]
print(ask(question, max_new_tokens=60, do_sample=False)[0]["generated_text"])
