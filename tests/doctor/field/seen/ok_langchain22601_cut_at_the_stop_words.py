"""A pipeline behind a wrapper that knows stop words: the new text is cut at the first of them."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()


class HuggingFacePipeline:
    def __init__(self, **settings):
        self.pipeline = pipeline("text-generation", model=model, tokenizer=tok)
        self.settings = settings

    def invoke(self, messages, stop=()):
        made = self.pipeline(messages, return_full_text=False, **self.settings)
        text = made[0]["generated_text"]
        places = [text.find(word) for word in stop if word in text]
        return text[: min(places, default=len(text))]


llm = HuggingFacePipeline(max_new_tokens=40, do_sample=False)
messages = [{"role": "user", "content": "What is the capital of France?"}]
print(llm.invoke(messages, stop=["\nObservation:", "\nUser:"]))
