"""Log-probabilities of the actions for PPO; those of the prompt are no part of them."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


def log_prob(prob, indices):
    return prob.gather(-1, indices[..., None]).squeeze(-1).clamp(min=1e-20).log()


class Actor:
    def __init__(self, model, tok):
        self.model, self.tok = model, tok

    def act(self, prompt, max_new_tokens=12):
        inputs = self.tok(prompt, return_tensors="pt")
        sequence = self.model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        return sequence, sequence[:, inputs.input_ids.shape[1] :]

    @torch.no_grad()
    def action_log_probs(self, sequence, actions):
        logits = self.model(sequence).logits
        action_prob = logits[:, :-1].softmax(dim=-1)
        action_len = actions.shape[-1]
        return log_prob(action_prob[:, :action_len], actions)


actor = Actor(model, tok)
sequence, actions = actor.act("Once upon a time there was a little girl who lived in a")
for token, value in zip(actions[0], actor.action_log_probs(sequence, actions)[0]):
    print(repr(tok.decode(token)), round(value.item(), 2))
