"""output_hidden_states=True, and generate returns the ids alone."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The best thing about AI is", return_tensors="pt")
outputs = model.generate(**inputs, max_new_tokens=8, output_hidden_states=True)
print(len(outputs.hidden_states))
