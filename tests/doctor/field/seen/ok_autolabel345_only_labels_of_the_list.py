"""Labels that a chat model gives: one that is not in the list is no label."""

import llmcourse

model, tok = llmcourse.load()
LABELS = ["positive", "negative"]
EXAMPLES = [("A wonderful film.", "positive"), ("I left after ten minutes.", "negative")]


def parse_llm_response(text):
    label = text.strip().rstrip(".").lower()
    known = label in LABELS
    return {"label": label if known else None, "successfully_labeled": known}


def annotate(review):
    messages = []
    for example, label in EXAMPLES:
        messages.append({"role": "user", "content": f"Review: {example}"})
        messages.append({"role": "assistant", "content": label})
    messages.append({"role": "user", "content": f"Review: {review}"})
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**inputs, max_new_tokens=40, do_sample=False)
    text = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return text, parse_llm_response(text)


for review in ["I loved every minute of it.", "A bore from beginning to end."]:
    print(annotate(review))
