"""Calls whose scores are steered: words that are banned, and biases of words."""

from tests.doctor.corpus.calls import LENGTH, Call, faulty, plain, sound


def _steered(code: str | None, name: str, **call) -> None:
    def make():
        model, tokenizer = plain("sentencepiece")
        return Call(model, tokenizer, "a text that goes on", LENGTH | call)

    (sound(name) if code is None else faulty(code, name))(make)


_BEGIN = 1  # the tokenizer's begin token

for _code, _name, _call in (
    (
        "banned-with-special-tokens",
        "a banned word behind the begin token",
        {"bad_words_ids": [[_BEGIN, 9, 12]]},
    ),
    (
        "banned-with-special-tokens",
        "a banned word filled up with padding",
        {"bad_words_ids": [[9, 12], [9, 0]]},
    ),
    (
        "banned-with-special-tokens",
        "a bias on a word behind the begin token",
        {"sequence_bias": [[[_BEGIN, 9], -5.0]]},
    ),
    ("refused", "more sequences than beams", {"num_beams": 2, "num_return_sequences": 3}),
    ("refused", "names of tokens that are suppressed", {"suppress_tokens": ["red"]}),
    (None, "a banned word of two tokens", {"bad_words_ids": [[9, 12]]}),
    (None, "the begin token banned", {"bad_words_ids": [[_BEGIN]]}),
    (None, "no end after a word", {"bad_words_ids": [[9, 2]]}),
    (None, "a bias on a word", {"sequence_bias": [[[9, 12], -5.0]]}),
):
    _steered(_code, _name, **_call)
