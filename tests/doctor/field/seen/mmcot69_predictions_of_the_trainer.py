"""Predictions go into the metric as the trainer gathered them: the first decoding fails."""

from torch.nn.utils.rnn import pad_sequence

import llmcourse

model, tok = llmcourse.load()
QUESTIONS = {"What is the capital of France?": "Paris", "What is a violin?": "an instrument"}


def predict(questions):
    rows = []
    for question in questions:
        chat = [{"role": "user", "content": question}]
        inputs = tok.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = model.generate(**inputs, max_new_tokens=12, do_sample=False)
        rows.append(made[0, inputs["input_ids"].shape[1] :])
    return pad_sequence(rows, batch_first=True, padding_value=-100).numpy()


def compute_metrics(predictions, targets):
    texts = tok.batch_decode(predictions, skip_special_tokens=True)
    hits = [target in text for text, target in zip(texts, targets, strict=True)]
    return {"accuracy": sum(hits) / len(hits)}


print(compute_metrics(predict(QUESTIONS), QUESTIONS.values()))
