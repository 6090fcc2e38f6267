"""Answers held to a format: asked once it works, asked the same a second time it raises."""

import llmcourse


class AllowedTokens:
    """A prefix_allowed_tokens_fn: one of the choices, token by token, then the end."""

    def __init__(self, choices, tokenizer):
        self.choices = [[*tokenizer.encode(c), tokenizer.eos_token_id] for c in choices]
        self.prefix, self.state = [-1], {}

    def __call__(self, batch_id, sent):
        ids = sent.tolist()
        if ids[: len(self.prefix)] != self.prefix:  # a new text begins
            self.prefix, self.state = ids, {(): self.choices}
            key = ()
        else:
            new = ids[len(self.prefix) :]
            last, before, key = new[-1], tuple(new[:-1]), tuple(new)
            left = [c for c in self.state[before] if c[len(before)] == last]
            self.state[key] = left
        return sorted({c[len(key)] for c in self.state[key] if len(c) > len(key)})


model, tok = llmcourse.load()
allowed = AllowedTokens(["positive", "negative"], tok)


def label(review):
    inputs = tok.apply_chat_template(
        [{"role": "user", "content": f"Positive or negative? {review}"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    made = model.generate(
        **inputs, max_new_tokens=8, do_sample=False, prefix_allowed_tokens_fn=allowed
    )
    return tok.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


for review in ["I loved it.", "What a bore.", "What a bore."]:
    print(review, label(review))
