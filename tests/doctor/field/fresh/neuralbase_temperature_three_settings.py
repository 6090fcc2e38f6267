"""One beginning with a cold, a warm and a hot setting, each of them reproducible."""

import torch

import llmcourse

model, tokenizer = llmcourse.load()
tokenizer.chat_template = None
SETTINGS = [
    {"temperature": 0.5, "top_p": 1.0, "top_k": None},
    {"temperature": 1.0, "top_p": 0.9, "top_k": None},
    {"temperature": 1.5, "top_p": 1.0, "top_k": 50},
]


def complete(text, settings, seed=42):
    input_ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        output = model.generate(input_ids, max_length=24, do_sample=True, seed=seed, **settings)
    return tokenizer.decode(output[0], skip_special_tokens=True)


for settings in SETTINGS:
    print(settings["temperature"], complete("The future of farming is", settings))
