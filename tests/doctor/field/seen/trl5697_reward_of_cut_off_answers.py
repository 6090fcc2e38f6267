"""Every reward is 0: the answer to be read is never written."""

import re

import llmcourse

model, tok = llmcourse.load()
problems = {
    "What is 3 * 4 + 5?": "17",
    "A train goes 60 km in one hour. How far in 3 hours?": "180",
}
ask = " Think step by step, then write: Final answer: <number>"
inputs = tok.apply_chat_template(
    [[{"role": "user", "content": problem + ask}] for problem in problems],
    add_generation_prompt=True,
    padding=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=24, do_sample=False)
texts = tok.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
found = [re.search(r"Final answer: *(\d+)", text) for text in texts]
print([float(bool(m) and m[1] == right) for m, right in zip(found, problems.values(), strict=True)])
print(texts)
