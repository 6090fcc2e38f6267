"""The request of a tutorial fails: a setting has one letter too few."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
write = pipeline("text-generation", model=model, tokenizer=tok)
data = {
    "prompt": [{"role": "user", "content": "Is ice cold?"}],
    "config": {"do_sample": True, "max_new_token": 256, "temperature": 0.3, "top_k": 50},
}
print(write(data["prompt"], **data["config"])[0]["generated_text"])
