"""The log-probability of each completion, summed up under a mask, for a policy gradient."""

import torch

import llmcourse

model, tok = llmcourse.load()


class Trainer:
    def __init__(self, model, tok, num_generations=3):
        self.model, self.tok, self.num_generations = model, tok, num_generations
        self.pad_token_id = tok.pad_token_id

    def generate(self, question):
        prompt = self.tok.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        torch.manual_seed(1)
        made = self.model.generate(
            **prompt, do_sample=True, num_return_sequences=self.num_generations, max_new_tokens=24
        )
        return prompt, made[:, prompt["input_ids"].shape[1] :]

    @torch.no_grad()
    def score(self, prompt, completion_ids):
        rows, length = completion_ids.shape
        prompt_ids = prompt["input_ids"].expand(rows, -1)
        prompt_mask = prompt["attention_mask"].expand(rows, -1)
        completion_mask = (completion_ids != self.pad_token_id).long()
        ids = torch.cat([prompt_ids, completion_ids], dim=1)
        mask = torch.cat([prompt_mask, completion_mask], dim=1)
        logits = self.model(input_ids=ids, attention_mask=mask).logits[:, -length - 1 : -1]
        log_probs = logits.log_softmax(-1).gather(-1, completion_ids.unsqueeze(-1)).squeeze(-1)
        return (log_probs * completion_mask).sum(1), completion_mask.sum(1)


trainer = Trainer(model, tok)
prompt, completions = trainer.generate("Is water wet? Answer with yes or no.")
print(tok.batch_decode(completions))
print(trainer.score(prompt, completions))
