"""A base model that writes the next example after its answer: one line is all that is wanted."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
shots = "Text: A lovely day!\nMood: positive\n\nText: I lost my keys.\nMood: negative\n\n"
prompt = f"{shots}Text: What a wonderful film.\nMood:"
inputs = tok(prompt, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=16, stop_strings=["\n"], tokenizer=tok)
text = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
print(text.split("\n")[0].strip())
