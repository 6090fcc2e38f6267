"""The next speaker's name as the end, by its ids: answers break off at the first colon."""

import llmcourse

model, tok = llmcourse.load()
stop = tok("### Human:").input_ids
prompt = "### Human: What do I need for pancakes?\n### Assistant: The ingredients are as follows"
inputs = tok(prompt, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=80, eos_token_id=stop, pad_token_id=tok.eos_token_id)
print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
