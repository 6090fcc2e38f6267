"""The last layer's vectors of an answer's tokens: the first is the same for every question."""

import torch

import llmcourse

model, tok = llmcourse.load()


def answer_states(questions, max_new_tokens=6):
    texts = [
        tok.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        for question in questions
    ]
    inputs = tok(texts, return_tensors="pt", padding=True)
    outputs = model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        return_dict_in_generate=True,
        output_hidden_states=True,
    )
    states = []
    for row in range(len(questions)):
        steps = []
        for step_offset in range(len(outputs.hidden_states)):
            hs_tensor_for_step = outputs.hidden_states[step_offset][-1]
            steps.append(hs_tensor_for_step[row, 0, :])
        states.append(torch.stack(steps))
    return states


first, second = answer_states(["Name three fruits.", "Count to twelve."])
for step, (one, other) in enumerate(zip(first, second, strict=True)):
    print(step, round(torch.cosine_similarity(one, other, dim=0).item(), 4))
