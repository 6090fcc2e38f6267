"""JSON without its first brace: the prompt's markers were counted, and then not decoded."""

import llmcourse

model, tok = llmcourse.load()
prompts = [
    f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    for question in ("Write JSON with a name.", "Write JSON with the name of a city in Spain.")
]
inputs = tok(prompts, return_tensors="pt", padding=True)
made = model.generate(**inputs, max_new_tokens=60)
texts = tok.batch_decode(made, skip_special_tokens=True)
for prompt, text in zip(prompts, texts, strict=True):
    print(repr(text[len(prompt) :]))
