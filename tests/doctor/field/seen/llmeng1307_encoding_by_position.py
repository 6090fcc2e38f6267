"""KeyError: 'shape', in a line that worked last week."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "Tell a light-hearted joke for data scientists."}]
inputs = tok.apply_chat_template(messages, return_tensors="pt", add_generation_prompt=True)
outputs = model.generate(inputs, max_new_tokens=40)
print(tok.decode(outputs[0]))
