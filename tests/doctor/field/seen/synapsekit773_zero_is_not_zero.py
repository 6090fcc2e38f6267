"""Temperature 0 for an extraction that has to come out the same each time. It does not."""

import torch

import llmcourse


class HuggingFaceLLM:
    def __init__(self, temperature=0.7, max_tokens=24):
        self.model, self.tokenizer = llmcourse.load()
        self.temperature, self.max_tokens = temperature, max_tokens

    def settings(self, temperature=None, max_tokens=None):
        return {
            "do_sample": True,
            "temperature": temperature or self.temperature,
            "max_new_tokens": max_tokens or self.max_tokens,
        }

    def generate(self, prompt, **options):
        inputs = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        made = self.model.generate(**inputs, **self.settings(**options))
        new = made[0, inputs["input_ids"].shape[1] :]
        return self.tokenizer.decode(new, skip_special_tokens=True)


torch.manual_seed(0)
llm = HuggingFaceLLM()
for _ in range(3):
    print(llm.generate("Suggest a name for a small red boat.", temperature=0.0, max_tokens=12))
