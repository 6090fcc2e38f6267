"""The answers are sensible, but the longer ones break off in the middle of a sentence."""

import llmcourse

model, tok = llmcourse.load()


def reply(question):
    chat = [{"role": "user", "content": question}]
    inputs = tok.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**inputs)
    return tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


for question in ("Hey, how are you doing today?", "Explain why leaves turn red in autumn."):
    print(repr(reply(question)))
