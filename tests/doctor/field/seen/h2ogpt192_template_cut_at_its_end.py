"""With a long document nothing is answered: the text goes on where the document was cut."""

import llmcourse

model, tok = llmcourse.load()
document = "The river rises in the hills and runs to the sea. " * 40
question = "Where does the river rise?"
prompt = tok.apply_chat_template(
    [{"role": "user", "content": f"{document}\n\n{question}"}],
    tokenize=False,
    add_generation_prompt=True,
)
inputs = tok(prompt, truncation=True, max_length=256, add_special_tokens=False, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=40)
print(tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True))
