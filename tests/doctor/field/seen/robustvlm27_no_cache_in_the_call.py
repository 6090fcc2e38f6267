"""use_cache=False in an evaluation that takes hours: nobody remembers why."""

import llmcourse

model, tok = llmcourse.load()
for picture in ("a harbour", "a bridge"):
    inputs = tok(f"A caption for a photo of {picture}:", return_tensors="pt")
    made = model.generate(**inputs, do_sample=False, max_new_tokens=20, use_cache=False)
    print(tok.decode(made[0, inputs.input_ids.shape[1] :]))
