"""Checks for the exercises of lesson 4, pitfalls.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

from collections.abc import Callable, Mapping

import torch

TEXTS = ["1, 2, 3", "A, B, C, D, E", "red"]


def broken_calls(tokenizer) -> dict[int, dict]:
    """Five calls, each with one fault, by number: what `model.generate(**call)` would get."""

    def batch(side: str) -> dict:
        options = {"padding": True, "padding_side": side, "return_tensors": "pt"}
        return dict(tokenizer(["1, 2, 3", "A, B, C, D, E"], **options))

    one = dict(tokenizer("A list of colors: red, blue", return_tensors="pt"))
    length = one["input_ids"].shape[1]
    return {
        1: {**batch("right"), "max_new_tokens": 12},
        2: {"input_ids": batch("left")["input_ids"], "max_new_tokens": 12},
        3: {**one, "max_new_tokens": 12, "temperature": 0.2},
        4: {**one, "max_length": length - 2},
        5: {**one, "max_new_tokens": 12, "use_cache": False},
    }


_FAULTS = {
    1: ("padding-side", "look at where the zeros of its mask stand"),
    2: ("no-mask", "compare what it passes with what the tokenizer returned"),
    3: ("sampling-ignored", "which setting is there, and which one does it need beside it?"),
    4: (
        "max-length-below-prompt",
        "count the tokens of the prompt, and see what max_length counts",
    ),
    5: ("no-cache", "its text is right; what does it cost?"),
}

_ALSO_RIGHT = {2: ("pad-is-eos",)}  # why the missing mask cannot be guessed


def check_five(answers: Mapping[int, str]) -> None:
    """Compare the learner's code for each broken call with the fault that was put into it.

    Raises AssertionError with a hint for the first call that is answered wrongly.
    """
    assert sorted(answers) == sorted(_FAULTS), "answer all five: {1: ..., 2: ..., ..., 5: ...}"
    for number, (code, hint) in _FAULTS.items():
        also = _ALSO_RIGHT.get(number, ())
        assert answers[number] in (code, *also), f"call {number} is not {answers[number]!r}: {hint}"
    print("check_five: all five are right.")


def check_ready(answer: Callable, tokenizer) -> None:
    """Compare `answer(tokenizer, texts)` with padding by hand, whatever side the tokenizer has.

    Raises AssertionError with the misconception that it found.
    """
    before = tokenizer.padding_side
    for side in ("right", "left"):
        tokenizer.padding_side = side
        try:
            made = answer(tokenizer, list(TEXTS))
            after = tokenizer.padding_side
        finally:
            tokenizer.padding_side = before
        assert after == side, "you changed the tokenizer's own side for everybody; pass it instead"
        _compare_batch(made, tokenizer)
    print("check_ready: padded on the left, with its mask, and the tokenizer is as it was.")


def _compare_batch(made, tokenizer) -> None:
    assert hasattr(made, "keys"), "return all that the tokenizer returns, not the ids alone"
    assert "attention_mask" in made, "the attention mask is missing; generate cannot guess it"
    ids, mask = torch.as_tensor(made["input_ids"]), torch.as_tensor(made["attention_mask"])
    assert ids.dim() == 2, f"return tensors of shape (batch, length); yours has {tuple(ids.shape)}"
    for row, seen, text in zip(ids, mask, TEXTS, strict=True):
        own = tokenizer(text).input_ids
        assert row[: len(own)].tolist() != own or len(own) == len(row), (
            "you padded on the right: a row must end in its own last token"
        )
        assert row[-len(own) :].tolist() == own, f"the row of {text!r} does not hold its tokens"
        wanted = [0] * (len(row) - len(own)) + [1] * len(own)
        assert seen.tolist() == wanted, "the mask must be 0 on the padding and 1 on the text"


def check_in_a_loop(answer: Callable[[list[int]], bool]) -> None:
    """Compare `answer(ids)`, whether a list ends in the same tokens three times, with trying all.

    Raises AssertionError with the misconception that it found.
    """
    for ids, misconception in _LOOPS:
        wanted = any(_thrice(ids, size) for size in range(1, len(ids) + 1))
        given = answer(list(ids))
        assert isinstance(given, bool), f"return True or False; you returned {given!r}"
        assert given == wanted, f"{ids}: {misconception}"
    print("check_in_a_loop: you find loops of every length, at the end and only there.")


def _thrice(ids: list[int], size: int) -> bool:
    end = ids[-3 * size :]
    return len(end) == 3 * size and end[:size] == end[size : 2 * size] == end[2 * size :]


_LOOPS = (
    ([1, 2, 3, 4, 5, 6], "nothing repeats here"),
    ([7, 7, 7], "the shortest loop is one token, three times"),
    ([9, 1, 2, 1, 2, 1, 2], "a loop may be longer than one token"),
    ([1, 2, 1, 2], "twice is not yet three times"),
    ([1, 2, 1, 2, 1, 2, 8, 9], "the loop is over: only the end counts"),
    ([5, 1, 1, 2, 1, 1, 2, 1, 1, 2], "a loop may hold the same token twice"),
    ([1, 2, 3, 1, 2, 4, 1, 2, 5], "the same tokens must come in the same order, all of them"),
    ([], "an empty list repeats nothing"),
)
