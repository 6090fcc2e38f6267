"""Answers out of a small library: the passage is found, and the answer does not use it."""

import llmcourse

PROMPT_TEMPLATE = """You are a friendly assistant for children. You answer in one short sentence,
with simple words, and you use what the library says about it.

Question: {question}
"""


class RAGAgent:
    documents = [
        "The turtle of our school is called Bertold. He is eleven years old.",
        "The canteen of our school has soup on Mondays and pancakes on Fridays.",
    ]

    def __init__(self):
        self.model, self.tokenizer = llmcourse.load()

    def get_relevant_document(self, question):
        words = set(question.lower().strip("?").split())
        return max(self.documents, key=lambda text: len(words & set(text.lower().split())))

    def run(self, question):
        context = self.get_relevant_document(question)
        prompt = PROMPT_TEMPLATE.format(context=context, question=question)
        messages = [{"role": "user", "content": prompt}]
        inputs = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = self.model.generate(**inputs, max_new_tokens=30, do_sample=False)
        new = made[0, inputs["input_ids"].shape[1] :]
        return context, self.tokenizer.decode(new, skip_special_tokens=True)


agent = RAGAgent()
for question in ("How old is the turtle of our school?", "What does the canteen have on Fridays?"):
    print(agent.run(question))
