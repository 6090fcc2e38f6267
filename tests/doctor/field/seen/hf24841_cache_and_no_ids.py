"""To go on from a cached prompt, generate is given the cache and nothing else."""

import llmcourse

model, tok = llmcourse.load()
inputs = tok("The three largest cities of Italy are", return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=8, return_dict_in_generate=True)
more = model.generate(
    past_key_values=made.past_key_values,
    max_new_tokens=20,
    bos_token_id=tok.eos_token_id,
    pad_token_id=tok.eos_token_id,
)
print(tok.decode(made.sequences[0]))
print(tok.decode(more[0]))
