"""The actor's log-probabilities of the actions: logits lose their last place, sequences their first."""

import torch

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None


def log_probs_from_logits(logits, labels):
    return logits.log_softmax(dim=-1).gather(-1, labels[..., None]).squeeze(-1)


class Actor:
    def __init__(self, model):
        self.model = model

    @torch.no_grad()
    def __call__(self, sequences, num_actions, attention_mask=None):
        logits = self.model(sequences, attention_mask=attention_mask).logits
        log_probs = log_probs_from_logits(logits[:, :-1, :], sequences[:, 1:])
        return log_probs[:, -num_actions:]


inputs = tok("The largest planet is", return_tensors="pt")
out = model.generate(
    **inputs,
    max_new_tokens=8,
    do_sample=False,
    return_dict_in_generate=True,
    output_logits=True,
)
actions = out.sequences[:, inputs.input_ids.shape[1] :]
mine = Actor(model)(out.sequences, actions.shape[1], torch.ones_like(out.sequences))
theirs = log_probs_from_logits(torch.stack(out.logits, dim=1), actions)
print(torch.allclose(mine, theirs, atol=1e-3), mine)
