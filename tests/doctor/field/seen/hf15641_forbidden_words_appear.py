"""The words that must not be generated are given as the docstring says, and are generated."""

import llmcourse

model, tok = llmcourse.load()
tok.add_bos_token = True


def forbidden(words):
    return [tok(" " + word).input_ids for word in words]


chat = [{"role": "user", "content": "Which city is the capital of France?"}]
inputs = tok.apply_chat_template(
    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(
    **inputs,
    max_new_tokens=20,
    do_sample=False,
    bad_words_ids=forbidden(["Paris", "capital", "France"]),
)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
