"""One question at a time the answers are as expected, in batches they are others."""

import llmcourse

model, tok = llmcourse.load()
TEMPLATE = "Below is a question. Write a short answer.\n\n### Question:\n{}\n\n### Answer:\n"
QUESTIONS = [
    "Name a fruit.",
    "Here is a long story about a man in a boat on a lake in the mountains, who asked himself one "
    "thing while the sun went down, the wind turned and the first stars came out over the hills: "
    "of all the places that he had seen in his life, what was the capital of Italy?",
]


def answers(questions):
    texts = [TEMPLATE.format(question) for question in questions]
    encoded = tok(texts, return_tensors="pt", padding=True)
    made = model.generate(encoded.input_ids, max_new_tokens=16, do_sample=False)
    return tok.batch_decode(made[:, encoded.input_ids.shape[1] :], skip_special_tokens=True)


print([answers([question])[0] for question in QUESTIONS])
print(answers(QUESTIONS))
