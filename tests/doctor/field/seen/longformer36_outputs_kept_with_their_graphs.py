"""A vector for each page: after some pages the memory is full."""

import llmcourse

model, tok = llmcourse.load()
pages = [f"Page {number} is about rivers and what swims in them." for number in range(6)]
vectors = []
for page in pages:
    inputs = tok(page, return_tensors="pt")
    output = model(**inputs, output_hidden_states=True)
    vectors.append(output.hidden_states[-1][:, -1])
print(len(vectors), vectors[0].requires_grad)
