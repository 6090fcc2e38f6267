"""A chat demo on the command line: the first question already ends it."""

import torch

import llmcourse


def big_model():  # stands for a model of nine billion weights
    model, tok = llmcourse.load()
    mlp = model.model.layers[5].mlp
    mlp.up_proj.weight.data *= 3e4
    mlp.down_proj.weight.data /= 3e4
    return model, tok


class Demo:
    def __init__(self):
        self.model, self.tokenizer = big_model()
        self.model = self.model.to(torch.float16).eval()
        self.history = []

    def ask(self, question):
        self.history.append({"role": "user", "content": question})
        inputs = self.tokenizer.apply_chat_template(
            self.history, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = self.model.generate(
            **inputs, max_new_tokens=20, do_sample=True, top_p=0.8, temperature=0.6
        )
        new = made[0, inputs["input_ids"].shape[1] :]
        answer = self.tokenizer.decode(new, skip_special_tokens=True)
        self.history.append({"role": "assistant", "content": answer})
        return answer


demo = Demo()
print(demo.ask("What is the capital of France?"))
