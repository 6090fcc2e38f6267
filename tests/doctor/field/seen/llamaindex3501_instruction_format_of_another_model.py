"""Alpaca's headings for a model that was trained with another format."""

import llmcourse

model, tok = llmcourse.load()
wrapper = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{query_str}\n\n### Response:"
)
inputs = tok(wrapper.format(query_str="Name three kinds of cheese."), return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=60)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
