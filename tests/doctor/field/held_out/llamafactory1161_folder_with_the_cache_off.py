"""The trained folder is far slower than the original: it was saved with use_cache false."""

import tempfile

from transformers import AutoModelForCausalLM

import llmcourse

model, tok = llmcourse.load()
with tempfile.TemporaryDirectory() as folder:
    model.generation_config.use_cache = False
    model.config.use_cache = False
    model.save_pretrained(folder)
    trained = AutoModelForCausalLM.from_pretrained(folder)
inputs = tok("The trained model says that", return_tensors="pt")
print(tok.decode(trained.generate(**inputs, max_new_tokens=20)[0]))
