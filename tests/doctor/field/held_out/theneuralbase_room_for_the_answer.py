"""The same setting for each question: the short one is answered, the one with a text gets a few words."""

import llmcourse

MAX_LENGTH = 90
model, tok = llmcourse.load()


def ask(question):
    messages = [{"role": "user", "content": question}]
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    outputs = model.generate(**inputs, max_length=MAX_LENGTH, do_sample=False)
    return tok.decode(outputs[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


text = (
    "The heron stands in the shallow water for hours. It does not move, and it waits "
    "for the fish to come near. When one does, it strikes faster than you can see."
)
print(repr(ask("What does a heron eat?")))
print(repr(ask(f"Explain in three sentences how the heron hunts. {text}")))
