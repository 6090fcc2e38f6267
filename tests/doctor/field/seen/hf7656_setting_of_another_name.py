"""Four beams set in the config, and still: greedy cannot return two sequences."""

import llmcourse

model, tok = llmcourse.load()
text = "Summarize: The tower is 324 metres tall, about as high as an 81-storey building.\nSummary:"
inputs = tok(text, return_tensors="pt")
model.config.update({"num_beans": 4})
print(model.config.num_beans)
made = model.generate(**inputs, max_new_tokens=30, length_penalty=2.0, num_return_sequences=2)
for row in made:
    print(tok.decode(row[inputs.input_ids.shape[1] :], skip_special_tokens=True))
