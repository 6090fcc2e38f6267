"""One chat is answered; of two chats in one call none is."""

import llmcourse


class BaseModel:
    def template_parser(self, dialog):
        return self.tokenizer.apply_chat_template(
            dialog, add_generation_prompt=True, tokenize=False
        )

    def chat(self, inputs, **gen_params):
        if isinstance(inputs[0], list):
            inputs = list()
            for msg in inputs:
                inputs.append(self.template_parser(msg))
        else:
            inputs = self.template_parser(inputs)
        return self.generate(inputs, **gen_params)


class HFTransformer(BaseModel):
    def __init__(self):
        self.model, self.tokenizer = llmcourse.load()

    def generate(self, inputs, **gen_params):
        if isinstance(inputs, str):
            return self.generate([inputs], **gen_params)[0]
        responses = []
        for start in range(0, len(inputs), 8):
            batch = self.tokenizer(inputs[start : start + 8], return_tensors="pt", padding=True)
            rows = self.model.generate(**batch, **gen_params)[:, batch.input_ids.shape[1] :]
            responses += self.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return responses


def ask(question):
    return [{"role": "user", "content": question}]


llm = HFTransformer()
one, two = ask("What is the capital of France?"), ask("Which animal says moo?")
print(llm.chat(one, max_new_tokens=12, do_sample=False))
print(llm.chat([one, two], max_new_tokens=12, do_sample=False))
