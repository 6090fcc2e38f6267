"""First test of a model that has been loaded with its adapter: one question, one answer."""

import torch

import llmcourse

model, tokenizer = llmcourse.load()
tokenizer.pad_token = tokenizer.eos_token
tokenizer.chat_template = None
model.eval()


def ask(test_input):
    input_ids = tokenizer(test_input, return_tensors="pt", padding=True).input_ids
    with torch.no_grad():
        outputs = model.generate(
            input_ids, max_new_tokens=20, temperature=0.7, top_p=0.95, do_sample=True
        )
    return tokenizer.decode(outputs[0], skip_special_tokens=True)


for test_input in ("What is machine learning?", "What is a compiler?"):
    print("Input:", test_input)
    print("Output:", ask(test_input))
