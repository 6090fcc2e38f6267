"""Only titles from a list may be written, and now and then there is one that is not on it."""

import llmcourse

model, tok = llmcourse.load()
tok.chat_template = None
TITLES = ["Bank of England", "Government of France", "Port of Antwerp", "History of Japan"]


class Constraint:
    def __init__(self, titles, prompt_length):
        self.prompt_length = prompt_length
        self.first, self.following = set(), {}
        for title in titles:
            ids = tok(" " + title).input_ids + [tok.eos_token_id]
            self.first.add(ids[0])
            for here, after in zip(ids, ids[1:]):
                self.following.setdefault(here, set()).add(after)

    def __call__(self, batch_id, ids):
        if len(ids) == self.prompt_length:
            return sorted(self.first)
        return sorted(self.following.get(ids[-1].item(), {tok.eos_token_id}))


def link(text):
    inputs = tok(text, return_tensors="pt")
    length = inputs.input_ids.shape[1]
    made = model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=10,
        prefix_allowed_tokens_fn=Constraint(TITLES, length),
    )
    return tok.decode(made[0, length:], skip_special_tokens=True).strip()


for text in (
    "The pound's interest rate was raised yesterday. Page:",
    "The French central bank in Paris lends money to other banks. Page:",
    "In London the prime minister's cabinet met. Page:",
):
    title = link(text)
    print(repr(title), title in TITLES)
