"""A checkpoint loaded with a class of another architecture: a page of warnings, then noise."""

from transformers import MistralForCausalLM

import llmcourse

course, tok = llmcourse.load()
weights = {f"model.{name}": value for name, value in course.state_dict().items()}  # renamed
model = MistralForCausalLM.from_pretrained(
    None, config=MistralForCausalLM.config_class(**course.config.to_dict()), state_dict=weights
)
inputs = tok("Yesterday I went to", return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=10)[0]))
