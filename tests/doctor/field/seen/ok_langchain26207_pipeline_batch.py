"""A pipeline that batches: it has a pad token, and pads on the left."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
tok.pad_token_id, tok.padding_side = tok.eos_token_id, "left"
ask = pipeline("text-generation", model=model, tokenizer=tok, batch_size=2)
chats = [[{"role": "user", "content": f"What is the capital of {c}?"}] for c in ("Italy", "Japan")]
for answer in ask(chats, max_new_tokens=60, do_sample=False):
    print(answer[0]["generated_text"][-1]["content"])
