"""A prompt that is too long keeps its first and its last half: the question is asked at an end."""

import torch

import llmcourse


class LongPromptModel:
    def __init__(self, model, tok, max_seq_len=160):
        self.model, self.tok, self.max_seq_len = model, tok, max_seq_len

    def encode(self, prompt, max_out_len):
        ids = self.tok.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )["input_ids"]
        max_prompt_len = self.max_seq_len - max_out_len
        if ids.shape[1] > max_prompt_len:
            half = max_prompt_len // 2
            ids = torch.cat([ids[:, :half], ids[:, -half:]], dim=1)
        return ids

    def generate(self, prompt, max_out_len=24):
        ids = self.encode(prompt, max_out_len)
        made = self.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_out_len
        )
        return self.tok.decode(made[0, ids.shape[1] :], skip_special_tokens=True)


story = " ".join(f"On day {day} the ship sailed on through fog and rain." for day in range(1, 40))
question = "What did the ship sail through?"
llm = LongPromptModel(*llmcourse.load())
print(llm.encode(f"{question}\n{story}\n{question}", 24).shape)
print(llm.generate(f"{question}\n{story}\n{question}"))
