"""Any temperature gives the same words, to the letter, though sampling is on."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The best holiday that I ever had was", return_tensors="pt")
for temperature in (0.7, 1.4):
    made = model.generate(
        **inputs, do_sample=True, top_k=1, temperature=temperature, max_new_tokens=14
    )
    print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
