"""A wrapper that gives the text after the prompt; only the end of the answer comes out."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


class HuggingFaceLLM:
    def __init__(self, client, model_kwargs=None):
        self.client = client
        self.model_kwargs = model_kwargs or {}

    def _call(self, prompt, stop=None):
        response = self.client(prompt, **self.model_kwargs)
        text = response[0]["generated_text"][len(prompt) :]
        for word in stop or []:
            text = text.split(word)[0]
        return text

    def invoke(self, prompt, **kwargs):
        return self._call(prompt, **kwargs)


client = pipeline("text-generation", model=model, tokenizer=tok)
llm = HuggingFaceLLM(
    client,
    model_kwargs={"return_full_text": False, "max_new_tokens": 20, "do_sample": False},
)
print(repr(llm.invoke("The river Nile flows through")))
