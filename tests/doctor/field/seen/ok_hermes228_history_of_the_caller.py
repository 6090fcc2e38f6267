"""Two questions about one history: each call works on a copy, and the caller's stays as it was."""

import llmcourse

model, tok = llmcourse.load()


def run_conversation(message, conversation_history=None):
    messages = list(conversation_history or [])
    messages.append({"role": "user", "content": message})
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**inputs, max_new_tokens=40, do_sample=False)
    answer = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    messages.append({"role": "assistant", "content": answer})
    return answer, messages


_, history = run_conversation("What is the capital of France?")
for question in ("What is the capital of Spain?", "What is the capital of Germany?"):
    print(run_conversation(question, history)[0], len(history))
