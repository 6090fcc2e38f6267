"""Requests as clients of another API send them, a temperature of zero among them."""

import llmcourse

model, tokenizer = llmcourse.load()


def generate_params(state):
    params = {"max_new_tokens": state.get("max_tokens", 16), "do_sample": True}
    for key in ("temperature", "top_p", "top_k"):
        if key in state:
            params[key] = state[key]
    if params.get("temperature") == 0:
        params["do_sample"] = False
        for key in ("temperature", "top_p", "top_k"):
            params.pop(key, None)
    return params


def reply(question, state):
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    made = model.generate(**inputs, **generate_params(state))
    return tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


for state in ({"temperature": 0, "top_p": 0.9}, {"temperature": 0}, {"temperature": 0.8}):
    print(state, repr(reply("Name a tree.", state)))
