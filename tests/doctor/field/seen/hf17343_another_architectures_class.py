"""A checkpoint loaded with a class of another architecture: a page of warnings, then noise."""

from transformers import GPT2LMHeadModel

import llmcourse

course, tok = llmcourse.load()
model = GPT2LMHeadModel.from_pretrained(course.name_or_path)  # a Llama's folder
inputs = tok("Yesterday I went to", return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=10)[0]))
