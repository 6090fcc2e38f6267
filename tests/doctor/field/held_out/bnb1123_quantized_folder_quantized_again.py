"""A folder that was saved in 4 bits, loaded with another 4-bit config."""

import tempfile

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import llmcourse

course, tok = llmcourse.load()
nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
small = AutoModelForCausalLM.from_pretrained(course.name_or_path, quantization_config=nf4)
with tempfile.TemporaryDirectory() as folder:
    small.save_pretrained(folder)
    fp4 = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=fp4)
inputs = tok("The moon is", return_tensors="pt")
print(tok.decode(model.generate(**inputs, max_new_tokens=6)[0]))
