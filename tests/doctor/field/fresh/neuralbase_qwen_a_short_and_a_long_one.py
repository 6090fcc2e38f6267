"""The same request with a small and a larger limit; how long are the two responses?"""

import llmcourse

model, tokenizer = llmcourse.load()
model.eval()


def respond(prompt, max_new_tokens):
    inputs = tokenizer(prompt, return_tensors="pt").to(model.device)
    outputs = model.generate(**inputs, max_new_tokens=max_new_tokens)
    return tokenizer.decode(outputs[0], skip_special_tokens=True)


prompt = "Explain photosynthesis in one sentence."
for limit in (8, 36):
    response = respond(prompt, limit)
    print(f"=== With max_new_tokens={limit} ===")
    print(response)
    print(f"Words: {len(response.split())}")
