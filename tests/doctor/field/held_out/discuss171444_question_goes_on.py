"""A model tuned on pairs of prompt and completion gives marks of a chat around its prediction."""

from transformers import GenerationConfig

import llmcourse

model, tok = llmcourse.load()  # tuned with a trainer that knows the template
model.generation_config = GenerationConfig(eos_token_id=0, pad_token_id=0)  # came with it


def predict(prompt, most=30):
    inputs = tok(prompt, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=most, do_sample=False)
    return tok.decode(made[0, inputs["input_ids"].shape[1] :])


for prompt in (
    "Instructions: answer the question about the molecule.\nQuestion: does salt dissolve in water",
    "Tell me which of the two is heavier, a stone or a feather",
):
    print(repr(predict(prompt)))
