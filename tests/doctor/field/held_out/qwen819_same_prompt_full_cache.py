"""To save the prefill, the first answer's cache is handed in with the same question again."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "user", "content": "Give me a short introduction to rivers."}]
ids = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)["input_ids"]
first = model.generate(ids, max_new_tokens=20, return_dict_in_generate=True)
second = model.generate(
    ids, max_new_tokens=20, past_key_values=first.past_key_values, return_dict_in_generate=True
)
for made in (first, second):
    print(tok.decode(made.sequences[0, ids.shape[1] :], skip_special_tokens=True))
