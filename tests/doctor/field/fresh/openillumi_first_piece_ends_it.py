"""Stop phrases for a chain, given to generate as ids."""

import llmcourse

model, tok = llmcourse.load()


class LocalLLM:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok

    def __call__(self, prompt, stop=()):
        messages = [{"role": "user", "content": prompt}]
        inputs = self.tok.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        ids = [self.tok.encode(" " + term)[0] for term in stop] + [self.tok.eos_token_id]
        out = self.model.generate(**inputs, eos_token_id=ids, max_new_tokens=40)
        return self.tok.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


llm = LocalLLM(model, tok)
question = "What is the capital of France, and on which river does it lie?"
print("without:", llm(question))
print("with:   ", llm(question, stop=["of course", "is there anything else"]))
