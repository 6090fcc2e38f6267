"""A generation loop of an inference engine: with more tokens the next one takes longer."""

import time

import torch

import llmcourse


class GenerationEngine:
    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer

    @torch.inference_mode()
    def generate(self, prompt, max_tokens):
        batch = self.tokenizer(prompt, return_tensors="pt")
        ids, mask = batch["input_ids"], batch["attention_mask"]
        computed, seconds = 0, []
        for _ in range(max_tokens):
            start = time.perf_counter()
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            computed += ids.shape[1]
            next_id = logits[:, -1, :].argmax(dim=-1, keepdim=True)
            ids = torch.cat([ids, next_id], dim=1)
            mask = torch.cat([mask, torch.ones_like(next_id)], dim=1)
            seconds.append(time.perf_counter() - start)
            if next_id.item() == self.tokenizer.eos_token_id:
                break
        return self.tokenizer.decode(ids[0]), computed, seconds


model, tokenizer = llmcourse.load()
tokenizer.chat_template = None
engine = GenerationEngine(model, tokenizer)
text, computed, seconds = engine.generate("The story is about a boy who lived on a hill and", 24)
print(text)
print(f"{computed} positions for {len(seconds)} tokens")
print(f"first: {seconds[1]:.3f} s, last: {seconds[-1]:.3f} s")
