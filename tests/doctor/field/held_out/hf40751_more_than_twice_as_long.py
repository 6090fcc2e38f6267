"""Two short texts, of at most 20 tokens with their beginning: they are more than twice as long."""

from transformers import pipeline, set_seed

import llmcourse

DEFAULTS = {"max_new_tokens": 40, "do_sample": True, "top_k": 50}


class Writer:
    def __init__(self):
        model, self.tok = llmcourse.load()
        self.generator = pipeline("text-generation", model=model, tokenizer=self.tok, **DEFAULTS)

    def write(self, beginning, **settings):
        return [made["generated_text"] for made in self.generator(beginning, **settings)]


writer = Writer()
set_seed(42)
for text in writer.write("Hello, I'm a language model,", max_length=20, num_return_sequences=2):
    print(len(writer.tok(text).input_ids), "tokens:", text)
