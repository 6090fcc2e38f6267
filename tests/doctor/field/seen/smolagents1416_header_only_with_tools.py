"""An agent that asks for the answer's header only when it has tools."""

import llmcourse

model, tok = llmcourse.load()


def ask(messages, tools=None):
    inputs = tok.apply_chat_template(
        messages,
        tools=tools,
        add_generation_prompt=bool(tools),
        return_tensors="pt",
        return_dict=True,
    )
    made = model.generate(**inputs, max_new_tokens=40)
    return tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


print(ask([{"role": "user", "content": "What is the colour of the sky?"}]))
