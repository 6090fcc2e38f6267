"""Why did it stop? The last token says it, not how many there are: this one ends on the last."""

import llmcourse

model, tok = llmcourse.load()


def chat_completion(messages, max_tokens):
    inputs = tok.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    size = inputs["input_ids"].shape[1]
    made = model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
    new = made[0, size:].tolist()
    ended = new[-1] == model.generation_config.eos_token_id
    return {
        "content": tok.decode(new, skip_special_tokens=True),
        "finish_reason": "stop" if ended else "length",
        "usage": {"prompt_tokens": size, "completion_tokens": len(new)},
    }


question = [{"role": "user", "content": "What is the capital of France?"}]
print(chat_completion(question, max_tokens=8))
print(chat_completion(question, max_tokens=40))
