"""Experience for a policy: the rollouts of an actor, with its fixed generation settings."""

import torch

import llmcourse


class Actor(torch.nn.Module):
    def __init__(self, model, tok):
        super().__init__()
        self.model, self.tok = model, tok

    @torch.no_grad()
    def generate(self, input_ids, attention_mask, **kwargs):
        generate_args = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "do_sample": kwargs.get("do_sample", True),
            "top_p": kwargs.get("top_p"),
            "early_stopping": kwargs.get("early_stopping", True),
            "temperature": kwargs.get("temperature", 1.0),
            "use_cache": True,
            "num_beams": kwargs.get("num_beams", 1),
            "max_new_tokens": kwargs["max_new_tokens"],
            "eos_token_id": self.tok.eos_token_id,
            "pad_token_id": self.tok.pad_token_id,
        }
        return self.model.generate(**generate_args)


model, tok = llmcourse.load()
torch.manual_seed(0)
actor = Actor(model, tok)
chats = [[{"role": "user", "content": q}] for q in ("Name a color.", "What is the sea made of?")]
batch = tok.apply_chat_template(
    chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
)
for step in range(2):
    out = actor.generate(**batch, top_p=0.9, max_new_tokens=20)
    new = out[:, batch["input_ids"].shape[1] :]
    print(step, tok.batch_decode(new, skip_special_tokens=True))
