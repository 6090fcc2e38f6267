"""Our own generate takes as long for a word as for a page."""

import torch

import llmcourse

model, tok = llmcourse.load()


class Generator:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok

    @torch.no_grad()
    def generate(self, prompts, output_len=30):
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
        inputs = self.tok.apply_chat_template(
            chats,
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        )
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        prompt_len = ids.shape[1]
        for _ in range(output_len):
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            logits = self.model(ids, attention_mask=mask, position_ids=positions).logits
            token = logits[:, -1].argmax(-1, keepdim=True)
            ids = torch.cat([ids, token], dim=1)
            mask = torch.cat([mask, torch.ones_like(token)], dim=1)
        results = []
        for row in ids[:, prompt_len:].tolist():
            if self.tok.eos_token_id in row:
                row = row[: row.index(self.tok.eos_token_id)]
            results.append(self.tok.decode(row))
        return results, ids.shape[1] - prompt_len


prompts = ["Say hello.", "What is the capital of Italy? One word."]
print(Generator(model, tok).generate(prompts))
