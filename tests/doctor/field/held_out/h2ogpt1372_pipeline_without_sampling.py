"""temperature and top_p reach the pipeline and do nothing."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
chat = pipeline("text-generation", model=model, tokenizer=tok)
question = [{"role": "user", "content": "What is the capital of Japan?"}]
for top_p in (0.3, 1.0):
    answer = chat(question, max_new_tokens=40, do_sample=False, temperature=0.1, top_p=top_p)
    print(answer[0]["generated_text"][-1]["content"])
