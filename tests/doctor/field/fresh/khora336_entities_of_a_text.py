"""Extracting entities as JSON: with this model, all texts come back without any."""

import json

import llmcourse

EXAMPLE = [
    {"role": "user", "content": "Entities, as JSON: Anna lives in Oslo."},
    {"role": "assistant", "content": '```json\n{"entities": ["Anna", "Oslo"]}\n```'},
]


class Extractor:
    def __init__(self, retries=2):
        self.model, self.tokenizer = llmcourse.load()
        self.retries = retries

    def complete(self, prompt):
        messages = EXAMPLE + [{"role": "user", "content": prompt}]
        inputs = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = self.model.generate(**inputs, max_new_tokens=40, do_sample=False)
        new = made[0, inputs["input_ids"].shape[1] :]
        return self.tokenizer.decode(new, skip_special_tokens=True)

    def extract(self, text):
        for _ in range(self.retries):
            raw = self.complete("Entities, as JSON: " + text)
            try:
                return json.loads(raw)["entities"]
            except json.JSONDecodeError as error:
                print("retry:", error, "in", repr(raw))
        return []


extractor = Extractor()
print(extractor.extract("Maria flew from Rome to Lima."))
