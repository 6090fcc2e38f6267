"""Three seeds for three different answers: they are one and the same."""

import torch

import llmcourse

NAMES = {"max_tokens": "max_new_tokens", "temperature": "temperature"}


class LocalHFBackend:
    def __init__(self):
        self.model, self.tokenizer = llmcourse.load()

    def generate(self, instruction, model_options):
        options = {NAMES[k]: v for k, v in model_options.items() if k in NAMES}
        if "seed" in model_options:
            torch.manual_seed(model_options["seed"])
        inputs = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": instruction}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        made = self.model.generate(**inputs, **options)
        new = made[0, inputs["input_ids"].shape[1] :]
        return self.tokenizer.decode(new, skip_special_tokens=True)


backend = LocalHFBackend()
for seed in (1, 2, 3):
    print(seed, backend.generate("Name a boat.", {"max_tokens": 12, "seed": seed}))
