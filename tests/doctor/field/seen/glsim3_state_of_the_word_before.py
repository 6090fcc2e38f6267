"""How near is the prompt to a word of the answer? The states of both are compared."""

import torch

import llmcourse

model, tok = llmcourse.load()


class GlobalSimilarity:
    def __init__(self, layer=-4):
        self.layer = layer

    def generate(self, question):
        inputs = tok.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        output = model.generate(
            **inputs,
            max_new_tokens=20,
            do_sample=False,
            output_hidden_states=True,
            return_dict_in_generate=True,
        )
        return output, output.sequences[0, inputs["input_ids"].shape[1] :]

    def token_states(self, output, new_ids):
        for index, token in enumerate(new_ids[:-1]):
            yield tok.decode(token), output.hidden_states[index][self.layer][0, -1]

    def __call__(self, question):
        output, new_ids = self.generate(question)
        h_prompt = output.hidden_states[0][self.layer][0, -1]
        return [
            (word, round(torch.cosine_similarity(h_prompt, h_object, dim=0).item(), 3))
            for word, h_object in self.token_states(output, new_ids)
        ]


for word, similarity in GlobalSimilarity()("Which animals live on a farm?"):
    print(repr(word), similarity)
