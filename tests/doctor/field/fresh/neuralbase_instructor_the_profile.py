"""A profile is asked for as JSON and made an object; longer profiles end with an error."""

import json
from dataclasses import dataclass

import llmcourse

model, tok = llmcourse.load()


@dataclass
class UserProfile:
    name: str
    bio: str


def create(prompt, response_model, max_tokens):
    fields = ", ".join(response_model.__dataclass_fields__)
    messages = [{"role": "user", "content": f"{prompt} Answer as JSON with the keys {fields}."}]
    text = tok.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    start = '{"name": "'
    inputs = tok(text + start, return_tensors="pt", add_special_tokens=False)
    made = model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
    answer = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    print(repr(start + answer))
    return response_model(**json.loads(start + answer))


print(create("Invent a gardener, with a long and detailed biography.", UserProfile, max_tokens=40))
