"""Each question alone, and a warning each time that something was not passed: what does it change?"""

import torch

import llmcourse

model, tok = llmcourse.load()


def chat(question):
    text = tok.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    model_inputs = tok([text], return_tensors="pt")
    generated = model.generate(model_inputs.input_ids, max_new_tokens=24, do_sample=False)
    answers = [row[len(ids) :] for ids, row in zip(model_inputs.input_ids, generated)]
    full = model.generate(**model_inputs, max_new_tokens=24, do_sample=False)
    print("same with everything passed:", torch.equal(full, generated))
    return tok.batch_decode(answers, skip_special_tokens=True)[0]


for question in ("Name a river in Europe.", "What is seven plus eight?"):
    print(chat(question))
