"""Three samples for each of two prompts: the second one's answers are mostly about the first."""

import torch

import llmcourse

model, tok = llmcourse.load()
torch.manual_seed(0)
tok.padding_side = "left"
questions = ["Name a fruit.", "Name a river in France."]
prompts = [
    tok.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    for question in questions
]
num_samples = 3
inputs = tok(prompts, padding=True, add_special_tokens=False, return_tensors="pt")
made = model.generate(**inputs, do_sample=True, num_return_sequences=num_samples, max_new_tokens=60)
formatted = tok.batch_decode(made[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
output = []
for i in range(len(prompts)):
    output.append(formatted[i : i + num_samples])
for question, samples in zip(questions, output, strict=True):
    print(question, samples)
