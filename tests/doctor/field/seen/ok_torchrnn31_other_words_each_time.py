"""Some endings for the same beginning, drawn again with each call."""

import torch
from transformers import GenerationConfig

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


class LanguageModel:
    def __init__(self, model, tok, temperature=0.9):
        self.model, self.tok = model, tok
        self.config = GenerationConfig(
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=0.95,
            max_new_tokens=15,
            eos_token_id=tok.eos_token_id,
            pad_token_id=tok.pad_token_id,
        )

    @torch.inference_mode()
    def sample(self, start):
        self.model.eval()
        inputs = self.tok(start, return_tensors="pt")
        made = self.model.generate(**inputs, generation_config=self.config)
        return self.tok.decode(made[0], skip_special_tokens=True)

    @torch.inference_mode()
    def chances(self, start, k=3):
        self.model.eval()
        inputs = self.tok(start, return_tensors="pt")
        values, indices = self.model(**inputs).logits[0, -1].softmax(-1).topk(k)
        return [(self.tok.decode(i), round(v.item(), 3)) for i, v in zip(indices, values)]


lm = LanguageModel(model, tok)
for _ in range(2):
    print(lm.sample("The wind blew through the old house and"))
    print(lm.chances("The wind blew through the old house and"))
