"""'NoneType' object is not subscriptable, somewhere deep in generate."""

import llmcourse

model, tok = llmcourse.load()
conversation = {"sep": "###", "stop_str": None}  # this style of conversation has none
inputs = tok("### Human: Hi\n### Assistant:", return_tensors="pt")
output_ids = model.generate(
    **inputs,
    do_sample=False,
    max_new_tokens=20,
    tokenizer=tok,
    stop_strings=[conversation["stop_str"]],
)
print(tok.decode(output_ids[0]))
