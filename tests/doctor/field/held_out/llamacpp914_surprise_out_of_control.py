"""A sampler that steers to a surprise of 3 bits a token: it stays wherever it is."""

import torch

import llmcourse

model, tok = llmcourse.load()


class Mirostat:
    def __init__(self, tau=3.0, eta=0.1):
        self.tau, self.eta = tau, eta

    def __call__(self, logits):
        mu = torch.tensor(2.0 * self.tau)
        probs = logits.softmax(-1)
        surprise = -probs.log2()
        allowed = probs.masked_fill(surprise > mu, 0.0)
        if allowed.sum() == 0:
            allowed[0, probs.argmax()] = 1.0
        token = torch.multinomial(allowed, 1)
        observed = -(allowed / allowed.sum())[0, token[0]].log2()
        mu = mu - self.eta * (observed - self.tau)
        return token, observed.item()


torch.manual_seed(0)
sampler = Mirostat()
ids = tok("Once upon a time, there was a", return_tensors="pt").input_ids
bits = []
for _ in range(24):
    with torch.no_grad():
        token, observed = sampler(model(ids).logits[:, -1])
    ids = torch.cat([ids, token], dim=1)
    bits.append(observed)
print(tok.decode(ids[0]))
print("first half:", sum(bits[:12]) / 12, "second half:", sum(bits[12:]) / 12)
