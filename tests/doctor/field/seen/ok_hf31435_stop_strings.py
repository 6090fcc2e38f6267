"""Stop strings, with the tokenizer that they need."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
inputs = tok("Q: Where is Rome?\nA: In Italy.\nQ: Where is Oslo?\nA:", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=40, tokenizer=tok, stop_strings=["\n"])
print(tok.decode(made[0, inputs.input_ids.shape[1] :]).strip())
