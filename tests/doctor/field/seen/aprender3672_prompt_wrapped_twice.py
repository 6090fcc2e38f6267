"""The prompt is nearly twice as long as it should be, and has a conversation within a question."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
ask = pipeline("text-generation", model=model, tokenizer=tok)
question = [{"role": "user", "content": "Name a large city in Spain."}]
prompt = tok.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
chat = [{"role": "user", "content": prompt}]
answer = ask(chat, max_new_tokens=100, do_sample=False)
print(answer[0]["generated_text"][-1]["content"])
