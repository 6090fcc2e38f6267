"""The example of a book: a chain of a prompt template and a local model from the hub."""

from transformers import pipeline

import llmcourse

model, tokenizer = llmcourse.load()
tokenizer.chat_template = None
generate_text = pipeline(
    "text-generation", model=model, tokenizer=tokenizer, max_new_tokens=20, do_sample=False
)


class PromptTemplate:
    def __init__(self, template):
        self.template = template

    def format(self, **values):
        return self.template.format(**values)


class LLMChain:
    def __init__(self, prompt, llm):
        self.prompt, self.llm = prompt, llm

    def run(self, question):
        completion = self.llm(self.prompt.format(question=question))
        return completion.strip()


template = """Question: {question}
Answer: Let's think step by step."""
llm_chain = LLMChain(prompt=PromptTemplate(template), llm=generate_text)
print(llm_chain.run("What is electroencephalography?"))
