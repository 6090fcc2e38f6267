"""The beginning of each answer is missing, or all of it."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
write = pipeline("text-generation", model=model, tokenizer=tok, return_full_text=False)
prompt = tok.apply_chat_template(
    [{"role": "user", "content": "Describe the sea in three sentences."}],
    tokenize=False,
    add_generation_prompt=True,
)
response = write(prompt, max_new_tokens=100, do_sample=False)
text = response[0]["generated_text"][len(prompt) :]
print(text)
