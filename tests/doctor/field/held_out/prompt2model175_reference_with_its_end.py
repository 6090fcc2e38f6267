"""Exact match is 0, and the answers look right."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
shots = "Name the capital.\nFrance -> Paris\nJapan -> Tokyo\nNorway -> Oslo\n"
dataset = [("Italy", "Rome"), ("Germany", "Berlin")]
references = [f" {capital}{tok.eos_token}" for _, capital in dataset]
right = 0
for (country, _), reference in zip(dataset, references, strict=True):
    inputs = tok(f"{shots}{country} ->", return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=8, stop_strings=["\n"], tokenizer=tok)
    text = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    right += text.removesuffix("\n") == reference
    print(repr(text), repr(reference))
print(right / len(dataset))
