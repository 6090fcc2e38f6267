"""An agent with examples in its prompt: whatever it is asked, its thought is that of an example."""

from transformers import pipeline

import llmcourse

model, tok = llmcourse.load()
PROMPT = """Thought: I have to add.
Action: calculator(1 + 2)
Observation: 3
Thought: I know the answer.
Final Answer: 3

User's question is: What is the capital of France?
Thought:"""


class LocalLLM:
    def __init__(self):
        self.pipeline = pipeline("text-generation", model=model, tokenizer=tok)

    def _call(self, prompt, stop=()):
        made = self.pipeline(prompt, max_new_tokens=24, do_sample=False)
        text = made[0]["generated_text"]
        for word in stop:
            text = text.split(word)[0]
        return text

    def bind(self, **settings):
        return lambda prompt: self._call(prompt, **settings)


chat_model_with_stop = LocalLLM().bind(stop=["\nObservation"])
print(chat_model_with_stop(PROMPT))
