"""Tools were passed, no error came, and the model knows of none."""

import llmcourse

model, tok = llmcourse.load()


def get_weather(city: str) -> str:
    """Look up today's weather.

    Args:
        city: The name of the city.
    """


inputs = tok.apply_chat_template(
    [{"role": "user", "content": "What is the weather in Oslo? Use a tool."}],
    tools=[get_weather],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)
made = model.generate(**inputs, max_new_tokens=80)
print(tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
