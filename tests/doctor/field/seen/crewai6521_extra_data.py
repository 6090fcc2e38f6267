"""The model gives the JSON that it was asked for and explains it; json says: extra data."""

import json
import re

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
JSON_PATTERN = re.compile(r"({.*})", re.DOTALL)
SHOT = """Text: Ann is 30 years old.
Answer: {"name": "Ann", "age": 30} in the form {name, age}.
Text: Tom is 12 years old.
Answer: {"name": "Tom", "age": 12} in the form {name, age}.
"""


class Converter:
    def to_json(self, text):
        match = JSON_PATTERN.search(text)
        if match is None:
            raise ValueError("no JSON in the answer")
        return json.loads(match.group())

    def convert(self, sentence, attempts=2):
        prompt = SHOT + f"Text: {sentence}\nAnswer:"
        for attempt in range(attempts):
            inputs = tok(prompt, return_tensors="pt")
            made = model.generate(**inputs, max_new_tokens=34, do_sample=False)
            text = tok.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
            text = text.split("\n")[0]
            try:
                return self.to_json(text)
            except json.JSONDecodeError as error:
                print(f"attempt {attempt}: {error} in {text!r}")
        return None


print(Converter().convert("Lisa is 41 years old."))
