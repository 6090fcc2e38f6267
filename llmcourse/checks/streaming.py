"""Checks for the exercises of lesson 6, streaming and pipelines.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

# What arrives token by token: bytes that are cut inside of characters, as a vocabulary cuts them.
_ARRIVALS = (
    [b"red", b", ", b"blue"],
    [b"caf", b"\xc3", b"\xa9", b"!"],
    [b"a ", b"\xf0\x9f", b"\xa5", b"\x8a", b" b"],
    [b"\xe4", b"\xbd\xa0\xe5", b"\xa5\xbd", b" x\xc3", b"\xb6y"],
)


def check_characters(answer: Callable[[Iterable[bytes]], Iterator[str]]) -> None:
    """Compare a generator of text, `answer(chunks)`, with decoding everything that has arrived.

    chunks: the bytes of one token after the other; the answer yields each character as soon as it
    is whole. Raises AssertionError with the misconception that it found.
    """
    for chunks in _ARRIVALS:
        whole, told, seen = b"".join(chunks).decode(), [], []

        def arriving(chunks=chunks, told=told, seen=seen):
            for number, chunk in enumerate(chunks):
                seen.append((number, "".join(told)))
                yield chunk
            seen.append((len(chunks), "".join(told)))

        for piece in answer(arriving()):
            told.append(piece)
        text = "".join(told)
        _compare_text(text, whole, told)
        for arrived, yielded in seen:
            due = b"".join(chunks[:arrived]).decode(errors="ignore")
            assert yielded == due, (
                f"too late: after {arrived} of the chunks {chunks} the text {due!r} is certain, "
                f"and you had yielded {yielded!r} when you asked for the next one"
            )
    print("check_characters: nothing lost, nothing broken, and each character as soon as possible.")


def _compare_text(text: str, whole: str, told: Sequence[str]) -> None:
    assert "\ufffd" not in text, (
        f"you decoded bytes that are not a whole character yet: {told}; "
        "keep them for the next chunk"
    )
    grown = all(later.startswith(earlier) for earlier, later in pairwise(told))
    assert len(told) < 2 or not (grown and told[-1] == whole), (
        f"you yielded the whole text again each time: {told}; yield only what is new"
    )
    assert text == whole, f"characters are missing or doubled: {text!r} should be {whole!r}"


# Texts as ids, all rows of a batch equally long, and which rows end in a loop of five.
_LOOP, _OTHER = [1, 2, 3, 4, 5], [6, 7, 8, 9, 1]
_TEXTS = (
    [[9, *_LOOP, *_LOOP]],
    [[*_LOOP, *_LOOP, 9]],  # it looped, and went on
    [[9, *_LOOP, 1, 2, 3, 4, 6]],
    [[7] * 10],
    [[5, 4, 3, 2, 1, *_LOOP]],  # the same tokens in another order
    [[6, 7, 8, 9, 5, *_LOOP]],  # one token of five
    [[5, 5, 5]],  # too short to tell
    [_LOOP + _LOOP, _LOOP + _OTHER],
    [_LOOP + _OTHER, _LOOP + _LOOP, _OTHER + _OTHER],
)


def check_loop_criterion(answer: Callable[[Tensor, object], Tensor]) -> None:
    """Compare a stopping criterion, `answer(ids, scores)`, with a comparison row by row.

    ids: (batch, length) int64; the answer returns (batch,) bool, true where the last five tokens
    of a row are the five before them. Raises AssertionError with the misconception that it found.
    """
    for rows in _TEXTS:
        wanted = [len(row) >= 10 and row[-5:] == row[-10:-5] for row in rows]
        given = _answer_to(answer, rows)
        assert isinstance(given, Tensor) and given.shape == (len(rows),), (
            f"return one bool for each row, a tensor of shape ({len(rows)},): a single True would "
            f"end every row of the batch; you returned {given!r}"
        )
        assert given.dtype == torch.bool, f"return bools, so that they can be or-ed: {given!r}"
        done = given.tolist()
        if done == wanted:
            continue
        assert len(rows[0]) >= 10, (
            f"{rows} is too short to repeat five tokens: nothing is done yet, and you said {done}"
        )
        assert len(rows) == 1 or len(set(done)) > 1, (
            f"every row got the same answer, {done}, for {rows}: each row is done by itself"
        )
        anywhere = [_loops_somewhere(row) for row in rows]
        assert done != anywhere, (
            f"you stop where five tokens repeat anywhere; only the end of the text counts: {rows}"
        )
        last = [len(row) > 5 and row[-1] == row[-6] for row in rows]
        assert done != last, f"you compare one token with the one five before it, not five: {rows}"
        unordered = [sorted(row[-5:]) == sorted(row[-10:-5]) for row in rows]
        assert done != unordered, f"the same tokens in another order are no loop: {rows}"
        raise AssertionError(f"for {rows} the answer is {wanted}; you said {done}")
    print("check_loop_criterion: each row ends by itself, when its last five tokens repeat.")


def _answer_to(answer: Callable, rows: list[list[int]]):
    try:
        return answer(torch.tensor(rows), None)
    except (IndexError, RuntimeError) as error:
        assert len(rows[0]) >= 10, (
            f"{rows} is too short to repeat five tokens: answer no, do not fail ({error})"
        )
        raise


def _loops_somewhere(row: list[int]) -> bool:
    return any(row[at : at + 5] == row[at + 5 : at + 10] for at in range(len(row) - 9))


_VOCABULARY = ("<eos>", "", "re", "red", "d", "dish", "b", "lue", "blue", "green", "x", "reddish")
_EOS = 0
_CHOICES = ("red", "blue", "reddish")


def check_choice_rule(answer: Callable) -> None:
    """Compare `answer(texts, choices, eos, prompt_length)` with trying every token.

    texts: the text of each token. The answer returns a rule: a function of ids (batch, length)
    int64 and scores (batch, vocab) float32 that sets to -inf what leads away from every choice.
    Raises AssertionError with the misconception that it found.
    """
    everything = [[], [2], [3], [2, 4], [6], [8], [3, 5], [11]]
    for rows in ([new] for new in everything):
        _hold_rule(answer, [9], rows)
    _hold_rule(answer, [2], [[6]])  # a prompt that looks like the start of a choice
    _hold_rule(answer, [], [[2, 4], [6, 7]])
    _hold_rule(answer, [9, 9], [[8, _EOS], [2, 4]])  # a row that has ended gets padding
    print(
        "check_choice_rule: only what can still become a choice stays, and EOS where one is whole."
    )


def _hold_rule(answer: Callable, prompt: list[int], rows: list[list[int]]) -> None:
    ids = torch.tensor([prompt + new for new in rows], dtype=torch.long)
    scores = torch.arange(1.0, len(_VOCABULARY) + 1).repeat(len(rows), 1)
    before = scores.clone()
    made = answer(list(_VOCABULARY), list(_CHOICES), _EOS, len(prompt))(ids, scores)
    assert torch.equal(scores, before), "you changed the scores in place: return new ones"
    for number, new in enumerate(rows):
        kept = {token for token, score in enumerate(made[number].tolist()) if score > -torch.inf}
        _hold_row(new, kept, others=[row for row in rows if row != new], prompt=prompt)
        for token in kept:
            assert made[number, token] == before[number, token], (
                "a token that stays keeps its score: only forbid, or you change the distribution"
            )


def _hold_row(new: list[int], kept: set[int], others: list, prompt: list[int]) -> None:
    if _EOS in new:
        assert kept, "a row that has ended lost every token: sampling from it fails; leave it EOS"
        return
    wanted, text = _allowed(new), "".join(_VOCABULARY[token] for token in new)
    if kept == wanted:
        return
    assert not (prompt and kept == _allowed([*prompt, *new])), (
        "you read the prompt too: the new text starts at prompt_length"
    )
    assert not any(kept == _allowed(other) for other in others), (
        "a row got what another row may do: each row has a text of its own"
    )
    assert _VOCABULARY.index("") not in kept, (
        "a token without text changes nothing: allow it and the model may take it for ever"
    )
    assert _EOS in kept or _EOS not in wanted, (
        f"{text!r} is one of the choices and EOS is forbidden: the model cannot end there"
    )
    assert _EOS not in kept or _EOS in wanted, f"{text!r} is no choice yet, and EOS is allowed"
    assert not (text in _CHOICES and kept == {_EOS}), (
        f"{text!r} is a choice, and the start of a longer one: what leads there must stay"
    )
    names = {_VOCABULARY[token] for token in wanted}, {_VOCABULARY[token] for token in kept}
    raise AssertionError(f"after {text!r} may come {names[0]}; you allow {names[1]}")


def _allowed(new: list[int]) -> set[int]:
    text = "".join(_VOCABULARY[token] for token in new)
    may = {
        token
        for token, piece in enumerate(_VOCABULARY)
        if piece and token != _EOS and any(one.startswith(text + piece) for one in _CHOICES)
    }
    return may | ({_EOS} if text in _CHOICES else set())
