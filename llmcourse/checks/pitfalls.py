"""Checks for the exercises of lesson 4, pitfalls.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

from collections.abc import Callable, Mapping

import torch

from llmcourse.checks import once_written

TEXTS = ["1, 2, 3", "A, B, C, D, E", "red"]
BEGINNINGS = ["The capital of France is", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,", "red"]
NEW_TOKENS = 12  # what `check_complete` asks for


def broken_calls(tokenizer) -> dict[int, list[dict]]:
    """Five faults, by number: each as one call or several, what `model.generate(**call)` gets."""

    def batch(texts: list[str], side: str) -> dict:
        options = {"padding": True, "padding_side": side, "return_tensors": "pt"}
        return dict(tokenizer(texts, **options))

    def one(text: str) -> dict:
        return batch([text], "left")

    few = {"max_new_tokens": 8}
    pair = ["The capital of France is", "A list of the colors of the rainbow: red, orange, yellow"]
    colors = "A list of colors: red, blue"
    longer = [f"{colors}{more}" for more in ("", ", green", ", green, yellow, white, black")]
    most = one(longer[1])["input_ids"].shape[1] + 1
    return {
        1: [{**batch(["1, 2, 3", "A, B, C, D, E"], "right"), **few}],
        2: [{"input_ids": batch(pair, "left")["input_ids"], **few}],
        3: [{**one(colors), **few, "temperature": value} for value in (0.3, 0.8, 1.5)],
        4: [{**one(text), "max_length": most} for text in longer],
        5: [{**one(colors), **few, "use_cache": False}],
    }


# For each of the five the code, and a hint for whoever gives another one.
_FAULTS = {
    1: ("padding-side", "look at where the tokens that end a text stand in its first row"),
    2: ("no-mask", "its padding is on the left; what tells the model not to read it?"),
    3: ("sampling-ignored", "three times the same text: what did the settings have to work on?"),
    4: ("max-length-counts-prompt", "add the tokens of the prompt and the new ones, call by call"),
    5: ("no-cache", "its text is right; how many tokens does it read at each step?"),
}

_ALSO_RIGHT = {
    2: ("pad-is-eos",),  # why the missing mask cannot be guessed
    4: ("max-length-below-prompt",),  # the last of the three calls
}


@once_written
def check_five(answers: Mapping[int, str]) -> None:
    """Compare the learner's code for each broken call with the fault that was put into it.

    Raises AssertionError with a hint for the first call that is answered wrongly.
    """
    assert sorted(answers) == sorted(_FAULTS), "answer all five: {1: ..., 2: ..., ..., 5: ...}"
    for number, (code, hint) in _FAULTS.items():
        also = _ALSO_RIGHT.get(number, ())
        assert answers[number] in (code, *also), f"call {number} is not {answers[number]!r}: {hint}"
    print("check_five: all five are right.")


@once_written
def check_complete(answer: Callable[[list[str]], list[str]], model, tokenizer) -> None:
    """Compare `answer(texts)`, the new text of each, with what each text gets alone.

    Meanwhile the tokenizer pads on the right, as most do. Raises AssertionError with the
    misconception that it found.
    """
    alone = [_alone(text, model, tokenizer) for text in BEGINNINGS]
    given, second = (_answered(answer, tokenizer) for _ in range(2))
    _compare_texts(given, alone)
    assert second == given, "a second run gave other texts: greedy decoding repeats itself"
    print("check_complete: each text of the batch is continued as it would be alone.")


def _answered(answer: Callable, tokenizer):
    """Return what an answer makes of the beginnings while the tokenizer pads on the right."""
    before = tokenizer.padding_side
    tokenizer.padding_side = "right"
    try:
        return answer(list(BEGINNINGS))
    finally:
        tokenizer.padding_side = before


def _alone(text: str, model, tokenizer) -> str:
    inputs = tokenizer([text], return_tensors="pt").to(model.device)
    ids = model.generate(**inputs, do_sample=False, max_new_tokens=NEW_TOKENS)
    return tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def _compare_texts(given, alone: list[str]) -> None:
    assert isinstance(given, list) and all(isinstance(one, str) for one in given), (
        f"return a list of texts, one for each; you returned {type(given).__name__}"
    )
    assert len(given) == len(alone), f"{len(alone)} texts go in, and {len(given)} came out"
    for text, new in zip(BEGINNINGS, given, strict=True):
        assert not new.startswith(text), (
            "your texts begin with the prompt: cut it off before you decode, on the ids"
        )
    for new, wanted in zip(given, alone, strict=True):
        longer = bool(new and wanted) and new.startswith(wanted)
        same = new == wanted or not (longer or (new and wanted.startswith(new)))
        assert same, f"{new!r} is not {NEW_TOKENS} new tokens; max_length counts the prompt too"
    right = [new == wanted for new, wanted in zip(given, alone, strict=True)]
    longest = max(range(len(alone)), key=lambda row: len(BEGINNINGS[row]))
    assert all(right) or not right[longest], (
        f"the longest text came out right and {BEGINNINGS[right.index(False)]!r} did not: its "
        "padding stands on the right, or its mask was not passed"
    )
    assert all(right), f"{BEGINNINGS[right.index(False)]!r} alone gets another text, greedily"


@once_written
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
    print("check_ready: padded on the left, masked, counted, and the tokenizer is as it was.")


def _compare_batch(made, tokenizer) -> None:
    assert hasattr(made, "keys"), "return all that the tokenizer returns, not the ids alone"
    assert "input_ids" in made, "the ids are missing"
    assert "attention_mask" in made, "the attention mask is missing; generate cannot guess it"
    assert "position_ids" in made, "the positions are missing; a plain forward pass needs them"
    batch = [made[name] for name in ("input_ids", "attention_mask", "position_ids")]
    for rows in batch:
        assert isinstance(rows, torch.Tensor), (
            f'return tensors (return_tensors="pt"), not {type(rows).__name__}: generate needs them'
        )
        assert rows.dim() == 2, f"return shapes (batch, length); yours is {tuple(rows.shape)}"
    for *rows, text in zip(*batch, TEXTS, strict=True):
        _compare_row(*rows, text, tokenizer(text).input_ids)


def _compare_row(row, mask, positions, text: str, own: list[int]) -> None:
    """Compare a row of a batch, (length,) each, with the ids of its text alone."""
    pads = len(row) - len(own)
    assert pads == 0 or row[: len(own)].tolist() != own, (
        "you padded on the right: a row must end in its own last token"
    )
    assert row[pads:].tolist() == own, f"the row of {text!r} does not hold its tokens"
    assert mask.tolist() == [0] * pads + [1] * len(own), (
        "the mask must be 0 on the padding and 1 on the text"
    )
    counted = positions[pads:].tolist()
    assert counted != list(range(pads, len(row))) or pads == 0, (
        "your positions count the padding: the first real token stands at 0"
    )
    assert counted == list(range(len(own))), f"the positions of {text!r} are {counted}"
    assert (positions >= 0).all(), "a position of padding is below 0; any other will do"


@once_written
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
