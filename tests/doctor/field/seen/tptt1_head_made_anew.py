"""Nothing but noise after a change to the config: 'newly initialized' stood in the log."""

from transformers import AutoConfig, AutoModelForCausalLM

import llmcourse

course, tok = llmcourse.load()
config = AutoConfig.from_pretrained(course.name_or_path)
config.tie_word_embeddings = False
model = AutoModelForCausalLM.from_pretrained(course.name_or_path, config=config)
inputs = tok("The capital of France is", return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=10)[0]))
