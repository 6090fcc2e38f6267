"""Counting on: the first list of numbers comes back whole, the second one never does."""

import llmcourse

model, tok = llmcourse.load()


def continue_list(text):
    model_inputs = tok([text], return_tensors="pt")
    generated_ids = model.generate(**model_inputs, do_sample=False)
    new_ids = generated_ids[:, model_inputs["input_ids"].shape[1] :]
    return tok.batch_decode(new_ids, skip_special_tokens=True)[0]


short = continue_list("A sequence of letters: a, b, c, d, e, f,")
print(repr(short))
numbers = continue_list("A sequence of all numbers from 1 to 40: 1, 2, 3, 4, 5, 6, 7, 8,")
print(repr(numbers))
print("arrived at 40:", "40" in numbers)
