"""Prompts sorted by length, so that little is padded, and the answers put back in their order."""

import llmcourse

model, tok = llmcourse.load()
questions = [
    "What is the capital of France, and in which country is it?",
    "What is 2 + 3?",
    "How many legs has a dog?",
    "What is the capital of Germany?",
]


def answer(texts, batch_size=2):
    prompts = [
        tok.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
        )
        for text in texts
    ]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [None] * len(prompts)
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        batch = tok(
            [prompts[i] for i in places],
            padding=True,
            add_special_tokens=False,
            return_tensors="pt",
        )
        made = model.generate(**batch, max_new_tokens=40, do_sample=False)
        new = made[:, batch["input_ids"].shape[1] :]
        for i, text in zip(places, tok.batch_decode(new, skip_special_tokens=True), strict=True):
            answers[i] = text
    return answers


for question, text in zip(questions, answer(questions), strict=True):
    print(question, "->", text)
