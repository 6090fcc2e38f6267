"""A temperature of 0 is one that was given: greedy decoding, without a temperature."""

import torch

import llmcourse


class LLM:
    def __init__(self, temperature=0.7):
        self.model, self.tokenizer = llmcourse.load()
        self.temperature = temperature

    def settings(self, temperature):
        temperature = self.temperature if temperature is None else temperature
        if temperature == 0:
            return {"do_sample": False}
        return {"do_sample": True, "temperature": temperature, "top_k": 50}

    def ask(self, text, temperature=None):
        inputs = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        made = self.model.generate(**inputs, max_new_tokens=40, **self.settings(temperature))
        new = made[0, inputs["input_ids"].shape[1] :]
        return self.tokenizer.decode(new, skip_special_tokens=True)


torch.manual_seed(0)
llm = LLM()
print(llm.ask("What is the capital of France?", temperature=0))
print(llm.ask("What is the capital of France?"))
