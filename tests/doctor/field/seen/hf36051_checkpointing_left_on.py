"""Samples between two training steps, with gradient checkpointing on: slow, or plain wrong."""

import llmcourse

model, tok = llmcourse.load()
model.gradient_checkpointing_enable()
model.train()
batch = tok("Hello world", return_tensors="pt")
model(**batch, labels=batch.input_ids).loss.backward()
inputs = tok("A sample after step 1:", return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=16)[0]))
