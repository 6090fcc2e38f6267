"""A template written by hand that ends with 'Assistant: ', blank included."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
template = "User: {question}\nAssistant: "
prompts = [template.format(question=q) for q in ("Is ice cold?", "Is the sun a star, or a planet?")]
tok.padding_side = "left"
inputs = tok(prompts, return_tensors="pt", padding=True)
made = model.generate(**inputs, max_new_tokens=12, tokenizer=tok, stop_strings=["\n"])
print([tok.decode(row[inputs.input_ids.shape[1] :]) for row in made])
