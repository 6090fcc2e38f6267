"""After training on a chat format the generation config gets the tokenizer's end token."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
model.generation_config.eos_token_id = 0  # the base model's
model.generation_config.eos_token_id = tok.eos_token_id
chat = pipeline("text-generation", model=model, tokenizer=tok)
question = [{"role": "user", "content": "What is the capital of France?"}]
answer = chat(question, do_sample=False, max_new_tokens=60)
print(answer[0]["generated_text"][-1]["content"])
