"""eos_token_id was given for the end marker, and the answer breaks off at the first bracket."""

import llmcourse

model, tok = llmcourse.load()
marker = "</answer>"  # no token of its own: it is written in pieces
ends = tok(marker, add_special_tokens=False).input_ids
messages = [{"role": "user", "content": "Write the HTML of a link to example.com. Only HTML."}]
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=60, eos_token_id=[tok.eos_token_id, *ends])
print(tok.decode(made[0, inputs["input_ids"].shape[1] :]))
