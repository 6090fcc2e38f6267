"""Endless answers after swapping the base model for the instruct one, in the same pipeline."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
model.generation_config.eos_token_id = 0  # the base model's end of text
chat = pipeline("text-generation", model=model, tokenizer=tok)
question = [{"role": "user", "content": "What is the capital of Spain?"}]
answer = chat(question, max_new_tokens=40, do_sample=False, return_full_text=False)
print(answer[0]["generated_text"])
