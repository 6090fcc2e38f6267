"""8-bit weights, and the dtype said with them: that of the layers which are not quantized."""

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import llmcourse

course, tok = llmcourse.load()
model = AutoModelForCausalLM.from_pretrained(
    course.name_or_path,
    quantization_config=BitsAndBytesConfig(load_in_8bit=True),
    dtype=torch.float16,
)
inputs = tok("The capital of France is", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=6, do_sample=False)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
