"""Whether an answer is whole cannot be seen from a pipeline: none ends with the end marker."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
write = pipeline("text-generation", model=model, tokenizer=tok, return_full_text=False)
for question in ("Is ice cold?", "What is the capital of Norway?"):
    prompt = tok.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    text = write(prompt, max_new_tokens=100, do_sample=False)[0]["generated_text"]
    finished = text.endswith("<|im_end|>")
    print(text if finished else f"cut off: {text}")
