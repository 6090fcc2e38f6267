"""A probe asks for three answers to each attempt in its configuration, and gets another number."""

import torch

import llmcourse

DEFAULT_PARAMS = {"generations": 5, "max_tokens": 12, "temperature": 0.9}


class Generator:
    def __init__(self, name="", generations=5, config_root=None):
        self.name = name
        self._load_config(config_root)
        self.generations = generations

    def _load_config(self, config_root):
        for key, value in {**DEFAULT_PARAMS, **(config_root or {}).get("generators", {})}.items():
            setattr(self, key, value)


class HuggingFace(Generator):
    def __init__(self, name="", generations=5, config_root=None):
        super().__init__(name, generations, config_root)
        self.model, self.tok = llmcourse.load()

    def generate(self, prompt):
        inputs = self.tok(prompt, return_tensors="pt")
        rows = self.model.generate(
            **inputs,
            do_sample=True,
            temperature=self.temperature,
            max_new_tokens=self.max_tokens,
            num_return_sequences=self.generations,
        )
        return self.tok.batch_decode(rows[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)


torch.manual_seed(0)
probe = HuggingFace("smol", config_root={"generators": {"generations": 3, "max_tokens": 8}})
answers = probe.generate("The best way to travel is")
print(len(answers), answers)
