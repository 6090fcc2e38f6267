"""A history that grew too long: the system's message, and as much of the end as there is room."""

import llmcourse

model, tok = llmcourse.load()
messages = [{"role": "system", "content": "You are a helpful guide to a town."}]
for place in ("the church", "the market", "the harbour"):
    messages.append({"role": "user", "content": f"Tell me about {place}."})
    messages.append({"role": "assistant", "content": f"You can see {place} from my window."})
messages.append({"role": "user", "content": "Which place did I ask about last?"})


def tokens(messages):
    rendered = tok.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    return len(rendered["input_ids"])


while tokens(messages) > 80 and len(messages) > 2:
    del messages[1:3]  # a question with its answer, so that a question comes first
inputs = tok.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**inputs, max_new_tokens=100)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
