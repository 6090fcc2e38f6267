"""One cache for a whole chat: it is handed in with the ids of the longer chat."""

from transformers import DynamicCache

import llmcourse

model, tok = llmcourse.load()
cache, messages = DynamicCache(config=model.config), []
for question in ("What is the capital of France?", "What is the capital of Italy?"):
    messages.append({"role": "user", "content": question})
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**inputs, past_key_values=cache, max_new_tokens=60)
    answer = tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    messages.append({"role": "assistant", "content": answer})
    print(answer)
