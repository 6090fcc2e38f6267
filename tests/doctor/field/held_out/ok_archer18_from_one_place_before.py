"""Actions are cut off after the observation, and their log-probabilities from one place before."""

import torch

import llmcourse


class Agent:
    def __init__(self, model, tok, max_new_tokens=20):
        self.model, self.tok, self.max_new_tokens = model, tok, max_new_tokens

    def observe(self, observations):
        chats = [[{"role": "user", "content": text}] for text in observations]
        return self.tok.apply_chat_template(
            chats, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True
        )

    def get_action(self, observations):
        obs = self.observe(observations)
        context_len = obs["attention_mask"].size(1)
        outputs = self.model.generate(**obs, max_new_tokens=self.max_new_tokens)
        return outputs[:, context_len:]

    @torch.no_grad()
    def get_log_prob(self, observations, actions):
        obs = self.observe(observations)
        obs_len = obs["attention_mask"].size(1)
        ended = (actions == self.tok.eos_token_id).long()
        action_mask = (ended.cumsum(1) - ended == 0).long()
        ids = torch.cat([obs["input_ids"], actions], dim=1)
        mask = torch.cat([obs["attention_mask"], action_mask], dim=1)
        log_probs = self.model(ids, attention_mask=mask).logits.log_softmax(dim=-1)
        selected = torch.take_along_dim(
            log_probs[:, obs_len - 1 : -1], actions.unsqueeze(2), dim=2
        ).squeeze(2)
        return (selected * action_mask).sum(dim=1)


agent = Agent(*llmcourse.load())
observations = ["Is ice cold? Yes or no.", "What is the capital of France?"]
actions = agent.get_action(observations)
print(agent.tok.batch_decode(actions, skip_special_tokens=True))
print(agent.get_log_prob(observations, actions).tolist())
