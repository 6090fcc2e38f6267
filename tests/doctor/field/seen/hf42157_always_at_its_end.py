"""A small server and its client, which offers to go on when an answer was cut. It never does."""

import llmcourse

model, tok = llmcourse.load()


def chat_completion(request):
    inputs = tok.apply_chat_template(
        request["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    size = inputs["input_ids"].shape[1]
    made = model.generate(**inputs, max_new_tokens=request["max_tokens"], do_sample=False)
    new = made[0, size:]
    content = tok.decode(new, skip_special_tokens=True)
    return {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": size, "completion_tokens": len(new)},
    }


def chat(text, max_tokens):
    request = {"messages": [{"role": "user", "content": text}], "max_tokens": max_tokens}
    choice = chat_completion(request)["choices"][0]
    print(choice["message"]["content"])
    if choice["finish_reason"] == "length":
        print("Stopped at the token limit. Continue generating? (y/N)")
    else:
        print("[done]")


chat("Tell me two facts about the moon.", max_tokens=20)
