"""The mask of responses goes up to the first end token and counts it: it was written too."""

import torch

import llmcourse


def get_response_mask(response_id, eos_token, dtype=torch.long):
    is_eos = response_id.eq(eos_token).long()
    return (is_eos.cumsum(dim=1) - is_eos).eq(0).to(dtype)


class Rollout:
    def __init__(self, model, tok, response_length=24):
        self.model, self.tok, self.response_length = model, tok, response_length

    def generate_sequences(self, questions):
        chats = [[{"role": "user", "content": question}] for question in questions]
        prompts = self.tok.apply_chat_template(
            chats, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True
        )
        output = self.model.generate(**prompts, max_new_tokens=self.response_length)
        response = output[:, prompts["input_ids"].shape[1] :]
        missing = self.response_length - response.shape[1]
        response = torch.nn.functional.pad(response, (0, missing), value=self.tok.pad_token_id)
        mask = get_response_mask(response, self.tok.eos_token_id)
        return {
            "responses": response,
            "response_mask": mask,
            "attention_mask": torch.cat([prompts["attention_mask"], mask], dim=-1),
        }


model, tok = llmcourse.load()
batch = Rollout(model, tok).generate_sequences(
    ["What is the capital of France?", "Is ice cold? Yes or no."]
)
for ids, mask in zip(batch["responses"], batch["response_mask"], strict=True):
    print(mask.sum().item(), repr(tok.decode(ids[mask.bool()])))
