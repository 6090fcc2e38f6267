"""do_sample with temperature=0.01 and repetition_penalty=1.0: the lines repeat themselves."""

import llmcourse

model, tok = llmcourse.load()
text = "This is a line 1\n\nThis is a line 2\n\nThis is a line 3\n\n"
input_ids = tok(text, return_tensors="pt").input_ids
gen_tokens = model.generate(
    input_ids,
    do_sample=True,
    temperature=0.01,
    max_new_tokens=16,
    min_new_tokens=1,
    repetition_penalty=1.0,
)
print(tok.decode(gen_tokens[0]))
