"""All special tokens are left out of the answer, and it still does not look like an answer."""

import llmcourse

model, tok = llmcourse.load()


class InferenceRecipe:
    def __init__(self, max_new_tokens=24):
        self.max_new_tokens = max_new_tokens

    def generate(self, system, user):
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": user},
        ]
        batch = tok.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        tokens = model.generate(**batch, max_new_tokens=self.max_new_tokens, do_sample=False)
        return tok.decode(tokens[0], skip_special_tokens=True)


reply = InferenceRecipe().generate("You answer like Shakespeare.", "What is in a garden?")
print("the model's reply:")
print(reply)
