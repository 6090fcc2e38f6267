"""A model loaded in 4 bits is then cast, as the script did with the full one."""

from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import llmcourse

course, tok = llmcourse.load()
config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
model = AutoModelForCausalLM.from_pretrained(course.name_or_path, quantization_config=config)
model = model.half()
inputs = tok("The moon is", return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=6)[0]))
