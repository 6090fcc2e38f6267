"""A model is asked for the extraction schema of a page; no schema can be made from its answer."""

import json

import llmcourse

model, tokenizer = llmcourse.load()
HTML = "<div class='quote'><span class='text'>Be kind.</span><small>Anna</small></div>"


def ask(messages, max_tokens):
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
    return tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def generate_schema(html):
    messages = [
        {"role": "system", "content": "You write JSON schemas for the extraction of data."},
        {"role": "user", "content": "<p class='a'>Hi</p>"},
        {"role": "assistant", "content": '```json\n{"selector": "p.a"}\n```'},
        {"role": "user", "content": html},
    ]
    response = ask(messages, max_tokens=40)
    try:
        return json.loads(response)
    except json.JSONDecodeError as error:
        raise ValueError(f"no schema in {response!r}: {error}") from error


print(generate_schema(HTML))
