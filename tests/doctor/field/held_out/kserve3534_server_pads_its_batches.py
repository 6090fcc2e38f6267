"""A model server: the second instance of a request gets another text than when it comes alone."""

from transformers import AutoTokenizer

import llmcourse


class GenerationServer:
    def load(self):
        self.model, _ = llmcourse.load()
        self.tokenizer = AutoTokenizer.from_pretrained(
            self.model.name_or_path, padding_side="right"
        )
        if self.tokenizer.pad_token is None:
            self.tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        self.tokenizer.chat_template = None
        return self

    def preprocess(self, payload):
        return self.tokenizer(payload["instances"], padding=True, return_tensors="pt")

    def predict(self, batch):
        return self.model.generate(**batch, max_new_tokens=12, do_sample=False)

    def postprocess(self, made, batch):
        new = made[:, batch["input_ids"].shape[1] :]
        return {"predictions": self.tokenizer.batch_decode(new, skip_special_tokens=True)}

    def __call__(self, payload):
        batch = self.preprocess(payload)
        return self.postprocess(self.predict(batch), batch)


server = GenerationServer().load()
long = "My favourite month is May, because in that month all the trees in the park are"
short = "The Eiffel Tower is in"
print(server({"instances": [short]}))
print(server({"instances": [long, short]}))
