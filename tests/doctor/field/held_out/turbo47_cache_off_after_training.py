"""Slow answers from the trained model: the cache was switched off for the training."""

import llmcourse

model, tok = llmcourse.load()
model.config.use_cache = False  # for gradient checkpointing
model.generation_config.use_cache = False
batch = tok("One step of training.", return_tensors="pt")
model(**batch, labels=batch.input_ids).loss.backward()
inputs = tok("After the training we", return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=20)[0]))
