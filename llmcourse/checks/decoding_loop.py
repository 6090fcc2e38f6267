"""Checks for the learner's own loop of lesson 2, piece by piece, and for the lesson's exercises.

Each runs an answer on a stand-in model of a few lines, whose texts a slow and obvious loop writes
again, and raises AssertionError with the one misconception that it found, or prints a line.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor

from llmcourse.checks import once_written
from llmcourse.checks.stand_in import (
    VOCABULARY,
    Call,
    StandIn,
    likeliest,
    text_after,
    unlikeliest,
)

_PROMPTS = ([5, 1, 8], [2, 2, 9, 4, 7], [11])
_LIMIT = 6


def _ids(answer, name: str) -> list[list[int]]:
    assert isinstance(answer, Tensor), f"return a tensor of ids, not {type(answer).__name__}"
    assert answer.dim() == 2, f"{name} returned shape {tuple(answer.shape)}; return (batch, length)"
    return answer.tolist()


def _name_the_first(wrong: Sequence[tuple[str, list]], yours: list, right: list) -> None:
    """Raise AssertionError with the first misconception that leads to yours, unless it is right."""
    for misconception, made in wrong:
        assert yours == right or yours != made, misconception


_NO_PROMPT = "you returned the new tokens without the prompt; append to `ids`, and return all of it"


@once_written
def check_append_and_repeat(answer: Callable[..., Tensor]) -> None:
    """Compare `answer(model, ids, max_new_tokens)` with a loop over one token at a time.

    ids: (1, length) int64; the answer returns (1, length + max_new_tokens). Raises AssertionError
    with the misconception that it found.
    """

    def everywhere(loop: Callable[[list[int], int], list[int]]) -> list:
        return [[loop(prompt, limit)] for prompt in _PROMPTS for limit in (1, _LIMIT)]

    yours = everywhere(
        lambda prompt, limit: _ids(answer(StandIn(), torch.tensor([prompt]), limit), "it")[0]
    )
    if yours == everywhere(text_after):
        print("check_append_and_repeat: each token was chosen from all that stood before it.")
        return
    wrong = (
        (_NO_PROMPT, lambda prompt, limit: text_after(prompt, limit)[len(prompt) :]),
        (
            "you predicted from the first position; the last one says what comes next: [:, -1]",
            lambda prompt, limit: text_after(prompt, limit, place=0),
        ),
        (
            "the model read the newest token alone; without a cache it has to read all of `ids`",
            lambda prompt, limit: text_after(prompt, limit, reads=lambda ids: ids[-1:]),
        ),
        (
            "the model read the prompt each time, never what you appended; read `ids` as it grows",
            lambda prompt, limit: text_after(prompt, limit, reads=lambda ids: ids[: len(prompt)]),
        ),
        ("you took the least likely token", lambda *case: text_after(*case, choose=unlikeliest)),
        (
            "you appended one token too few; max_new_tokens of them are asked for",
            lambda prompt, limit: text_after(prompt, limit - 1),
        ),
        (
            "you appended one token too many; max_new_tokens of them are asked for",
            lambda prompt, limit: text_after(prompt, limit + 1),
        ),
        (
            "max_new_tokens counts new tokens only; you counted the prompt too",
            lambda prompt, limit: text_after(prompt, max(0, limit - len(prompt))),
        ),
        (
            "you put the new token in front of the text; append it at the end",
            _in_front,
        ),
    )
    _name_the_first(
        [(said, everywhere(loop)) for said, loop in wrong], yours, everywhere(text_after)
    )
    right = text_after(_PROMPTS[0], _LIMIT)
    raise AssertionError(
        f"after the prompt {_PROMPTS[0]} come {right[len(_PROMPTS[0]) :]}; you returned {yours[1]}"
    )


def _in_front(prompt: list[int], limit: int) -> list[int]:
    ids = list(prompt)
    for _ in range(limit):
        ids.insert(0, text_after(ids, 1)[-1])
    return ids


class _Ends(NamedTuple):
    """A prompt, a limit, and the ids that end its text."""

    prompt: list[int]
    limit: int
    ends: list[int]


def _with_ends() -> list[_Ends]:
    """Cases in which a text ends half-way, at the limit, by the second of two ids, or not at all.

    The ids are taken from the texts: whichever token comes third, say, is made the end.
    """
    cases = []
    for prompt in _PROMPTS:
        new = text_after(prompt, _LIMIT)[len(prompt) :]
        at = next(n for n in (2, 1, 3, 4) if new[n] not in [*new[:n], *prompt])
        absent = next(token for token in range(VOCABULARY) if token not in [*new, *prompt])
        cases += [
            _Ends(prompt, _LIMIT, [new[at]]),
            _Ends(prompt, at + 1, [new[at]]),
            _Ends(prompt, _LIMIT, [absent, new[at]]),
            _Ends(prompt, _LIMIT, []),
        ]
        if prompt[0] not in new:  # a chat prompt has ends in it
            cases.append(_Ends(prompt, _LIMIT, [prompt[0], new[at]]))
    return cases


def _stopped_anyhow(cases: list[_Ends]) -> list[tuple[str, list]]:
    """Misconceptions about the end of a text, each with the texts that it leads to."""

    def everywhere(loop: Callable[[list[int], int, list[int]], list[int]]) -> list:
        return [[loop(*case)] for case in cases]

    def no_end(prompt, limit, ends):
        text = text_after(prompt, limit, ends)
        return text[:-1] if text[-1] in ends else text

    def one_more(prompt, limit, ends):
        text = text_after(prompt, limit, ends)
        return text_after(prompt, min(len(text) - len(prompt) + 1, limit))

    def at_once(prompt, limit, ends):
        inside = any(token in ends for token in prompt)
        return text_after(prompt, 1 if inside else limit, ends)

    def without_a_turn(prompt, limit, ends):
        inside = any(token in ends for token in prompt)
        return list(prompt) if inside else text_after(prompt, limit, ends)

    prompt_too = "an end inside the prompt is none of yours; compare the new token only"
    return [
        (_NO_PROMPT, everywhere(lambda *case: text_after(*case)[len(case[0]) :])),
        (
            "you stopped before the EOS was appended; it belongs to the output: append, then ask",
            everywhere(no_end),
        ),
        (
            "nothing stopped at EOS; leave the loop when the new token is one of `eos`",
            everywhere(lambda prompt, limit, ends: text_after(prompt, limit)),
        ),
        (
            "you went on for one token after the EOS; ask right after appending",
            everywhere(one_more),
        ),
        (
            "you compared with the first id of `eos` only; a model may have several",
            everywhere(lambda prompt, limit, ends: text_after(prompt, limit, ends[:1])),
        ),
        (prompt_too, everywhere(at_once)),
        (prompt_too, everywhere(without_a_turn)),
    ]


def _same_texts(yours: list, cases: list[_Ends]) -> None:
    """Raise AssertionError unless these are the texts of the cases."""
    wanted = [[text_after(*case)] for case in cases]
    if yours == wanted:
        return
    _name_the_first(_stopped_anyhow(cases), yours, wanted)
    at = next(n for n, (mine, right) in enumerate(zip(yours, wanted, strict=True)) if mine != right)
    prompt, limit, ends = cases[at]
    raise AssertionError(
        f"prompt {prompt}, at most {limit} new tokens, eos {ends}: the text is {wanted[at][0]}; "
        f"you returned {yours[at][0]}"
    )


@once_written
def check_until_eos(answer: Callable[..., Tensor]) -> None:
    """Compare `answer(model, ids, max_new_tokens, eos)` with a loop that asks after each token.

    ids: (1, length) int64. eos: (any number of ids,) int64. The answer returns prompt, new tokens
    and the EOS, if it came. Raises AssertionError with the misconception that it found.
    """
    cases = _with_ends()
    yours = [
        _ids(answer(StandIn(), torch.tensor([prompt]), limit, _ends(ends)), "it")
        for prompt, limit, ends in cases
    ]
    _same_texts(yours, cases)
    print("check_until_eos: it stops at the limit or after an EOS, which it keeps.")


def _ends(ends: Sequence[int]) -> Tensor:
    return torch.tensor(ends, dtype=torch.long)


@once_written
def check_with_cache(answer: Callable[..., Tensor]) -> None:
    """Compare `answer(model, ids, max_new_tokens, eos, choose)` with a loop without a cache.

    ids: (1, length) int64. eos: (any number of ids,) int64. choose: from logits (1, vocab) to ids
    (1, 1). Looks at what the model was fed, too: the prompt once, then one token a turn. Raises
    AssertionError with the misconception that it found.
    """
    cases, yours = _with_ends(), []
    for prompt, limit, ends in cases:
        model, ids = StandIn(), torch.tensor([prompt])
        yours.append(_ids(answer(model, ids, limit, _ends(ends), choose=likeliest), "it"))
        _fed_once(model.calls, len(prompt))
    _same_texts(yours, cases)
    mine = _ids(
        answer(StandIn(), torch.tensor([[5, 1, 8]]), 4, _ends([]), choose=unlikeliest), "it"
    )
    assert mine == [text_after([5, 1, 8], 4, choose=unlikeliest)], (
        "you chose the likeliest token yourself; call `choose(logits)`, which may do otherwise"
    )
    print("check_with_cache: the prompt was read once, and then each new token once.")


def _fed_once(calls: list[Call], prompt: int) -> None:
    """Raise AssertionError unless the prompt was read at first, and then one token a turn."""
    assert calls, "the model was never called"
    assert calls[0].fed.shape[1] >= prompt, (
        f"the first turn read {calls[0].fed.shape[1]} of the prompt's {prompt} tokens; the cache "
        "is empty then, so all of them have to be fed"
    )
    for before, call in pairwise(calls):
        new, read = call.fed.shape[1], before.held + before.fed.shape[1]
        if call.held == 0:
            assert new == 1, (
                "each turn read the whole text with an empty cache, so nothing was saved; make one "
                "cache before the loop, hand it over in every turn, and feed the new token only"
            )
            raise AssertionError(
                "a turn read one token and an empty cache, so that the rest of the text was "
                "forgotten; make one cache before the loop and hand it over in every turn"
            )
        assert new == 1, (
            f"you fed {new} tokens beside a cache that holds {call.held} of them already: they are "
            "read twice, the second time at wrong positions; feed the new token only"
        )
        assert call.held == read, f"the cache holds {call.held} tokens, but {read} were read"


_LOGITS = torch.tensor([0.7, -1.2, 2.0, 0.1])  # their softmax: about 0.18, 0.03, 0.68, 0.10
_MANY = 4000


@once_written
def check_draw(answer: Callable[[Tensor], Tensor]) -> None:
    """Compare `answer(logits)` with the probabilities, and with torch's global generator.

    logits: (batch, vocab) float32; the answer returns (batch, 1) int64, each token as often as its
    probability says, and for one seed what `torch.multinomial` gives. Raises AssertionError with
    the misconception that it found.
    """
    with torch.random.fork_rng(devices=[]):  # the lesson's seed is none of a check's business
        drawn = _drawn(answer, _LOGITS.expand(_MANY, -1), 0)
        shares = torch.bincount(drawn.flatten(), minlength=4) / _MANY
        _fair(shares)
        again, other = (_drawn(answer, _LOGITS.expand(_MANY, -1), seed) for seed in (0, 1))
        assert torch.equal(drawn, again), (
            "with the same seed you drew something else: the draw has a generator of its own; use "
            "torch's global one, which set_seed sets"
        )
        assert not torch.equal(drawn, other), (
            "another seed gave the same draw; set no seed, and make no generator, inside"
        )
        logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)) * 3
        torch.manual_seed(7)
        right = torch.multinomial(logits.softmax(dim=-1), num_samples=1)
        assert torch.equal(_drawn(answer, logits, 7), right), (
            "a fair draw, but not the one that generate makes with this seed: draw for all rows in "
            "one call of torch.multinomial, and draw once"
        )
    print("check_draw: each token as often as its probability says, and by torch's own seed.")


def _drawn(answer: Callable, logits: Tensor, seed: int) -> Tensor:
    torch.manual_seed(seed)
    try:
        drawn = answer(logits)
    except RuntimeError as error:
        assert "probability" not in str(error), (
            "multinomial got numbers that are no probabilities; softmax makes them of logits"
        )
        raise
    wanted = (len(logits), 1)
    assert isinstance(drawn, Tensor), f"return a tensor of ids, not {type(drawn).__name__}"
    assert drawn.shape == wanted, (
        f"you returned shape {tuple(drawn.shape)} for {wanted[0]} rows; return {wanted}, one id a "
        "row, ready to be appended"
    )
    return drawn


def _fair(shares: Tensor) -> None:
    """Raise AssertionError unless the shares of four tokens are near their probabilities."""

    def near(probs: Tensor) -> bool:
        return bool(
            ((shares - probs).abs() < 5 * (probs * (1 - probs) / _MANY).sqrt() + 1e-3).all()
        )

    wanted = _LOGITS.softmax(-1)
    if near(wanted):
        return
    positive = _LOGITS.clamp(min=0)
    wrong = (
        ("you took the likeliest token each time; draw it", torch.eye(4)[2]),
        ("each token came as often as every other; use the probabilities, of softmax over the "
         "last axis", torch.full((4,), 0.25)),
        ("you drew from logits with the negative ones cut off; softmax first", positive),
        ("you drew from logits made positive; softmax is what makes them probabilities",
         _LOGITS - _LOGITS.min()),
        ("you drew from the absolute logits; softmax makes them probabilities", _LOGITS.abs()),
        ("you drew from softmax of a softmax; apply it once", wanted.softmax(-1)),
    )  # fmt: skip
    for misconception, weights in wrong:
        assert not near(weights / weights.sum()), misconception
    raise AssertionError(
        f"of four tokens with the probabilities {_rounded(wanted)} you drew the shares "
        f"{_rounded(shares)} in {_MANY} draws"
    )


def _rounded(numbers: Tensor) -> list[float]:
    return [round(number, 2) for number in numbers.tolist()]


_PAD = 3
# Prompts of different lengths; the token that pads stands inside some of them, too.
_BATCHES = (
    [[5, 1, 8], [2, 2, 9, 4, 7], [11]],
    [[3, 6], [6, 3, 3, 10]],
    [[1, 2], [7, 8]],
)


@once_written
def check_left_padded(answer: Callable[..., tuple[Tensor, Tensor]]) -> None:
    """Compare `answer(prompts, pad)` with rows that are filled up one by one.

    prompts: lists of ids. The answer returns ids and mask, both (batch, longest) int64. Raises
    AssertionError with the misconception that it found.
    """
    for prompts in _BATCHES:
        longest = max(map(len, prompts))
        both = answer([list(prompt) for prompt in prompts], _PAD)
        assert isinstance(both, tuple) and len(both) == 2, "return two tensors: ids, mask"
        ids, mask = (_ids(part, "it") for part in both)
        gaps = [[_PAD] * (longest - len(prompt)) for prompt in prompts]
        right = [gap + prompt for gap, prompt in zip(gaps, prompts, strict=True)]
        wrong = (
            ("you padded on the right: the last position of a short row is padding then, and the "
             "next token is predicted from it; fill up on the left",
             [prompt + gap for gap, prompt in zip(gaps, prompts, strict=True)]),
            ("you cut the longer prompts; fill the shorter ones up",
             [prompt[-min(map(len, prompts)) :] for prompt in prompts]),
        )  # fmt: skip
        _name_the_first(wrong, ids, right)
        assert ids == right, f"for {prompts} and pad={_PAD} the ids are {right}; you have {ids}"
        seen = [
            [0] * len(gap) + [1] * len(prompt) for gap, prompt in zip(gaps, prompts, strict=True)
        ]
        mask = [[int(one) for one in row] for row in mask]
        wrong = (
            ("the mask is the wrong way round: 1 is a real token, 0 is padding",
             [[1 - one for one in row] for row in seen]),
            ("you took every `pad` for padding, but that id stands inside a prompt, too (an end of "
             "sequence, say); make the mask from the lengths",
             [[int(token != _PAD) for token in row] for row in right]),
            ("the mask is 1 everywhere, so that the padding is read as text",
             [[1] * longest for _ in prompts]),
        )  # fmt: skip
        _name_the_first(wrong, mask, seen)
        assert mask == seen, f"for {prompts} the mask is {seen}; you have {mask}"
    print("check_left_padded: rows end in their own last token, and the mask says what is real.")


@once_written
def check_positions(answer: Callable[[Tensor], Tensor]) -> None:
    """Compare `answer(mask)` with a count of the real tokens in each row.

    mask: (batch, length) int64, padding on the left; the answer returns as many positions, 0 at a
    row's first real token; those of padding do not matter, as long as they are not negative.
    Raises AssertionError with the misconception that it found.
    """
    for rows in ([[1, 1, 1]], [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], [[0, 1, 1], [0, 0, 1]]):
        mask = torch.tensor(rows)
        made = answer(mask.clone())
        yours = _ids(made, "it")
        assert made.shape == mask.shape, (
            f"you returned shape {tuple(made.shape)} for a mask of {tuple(mask.shape)}"
        )

        def real(positions: list[list[int]], rows: list[list[int]] = rows) -> list[list[int]]:
            return [
                [one for one, seen in zip(*pair, strict=True) if seen]
                for pair in zip(positions, rows, strict=True)
            ]

        right = [[*range(sum(row))] for row in rows]
        wrong = (
            ("you counted from the row's beginning, padding included; the first real token is at "
             "0, so count real tokens: a running sum of the mask",
             real([[*range(len(row))] for row in rows])),
            ("the first real token is at 0, and yours is at 1; a running sum counts the token "
             "itself", [[one + 1 for one in row] for row in right]),
            ("you returned the mask; a position says how many real tokens stand before",
             real(rows)),
        )  # fmt: skip
        _name_the_first(wrong, real(yours), right)
        assert real(yours) == right, f"for the mask {rows} the positions are not {yours}"
        assert made.min() >= 0, (
            "padding has a negative position, which a model that looks positions up cannot find; "
            "clamp(min=0)"
        )
    print("check_positions: each row counts from its own first token.")


@once_written
def check_grown(answer: Callable[..., tuple[Tensor, Tensor]]) -> None:
    """Compare `answer(mask, positions)` with rows that get one entry more.

    mask, positions: (batch, length) int64; the answer returns both as (batch, length + 1). Raises
    AssertionError with the misconception that it found.
    """
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    positions = torch.tensor([[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]])
    both = answer(mask.clone(), positions.clone())
    assert isinstance(both, tuple) and len(both) == 2, "return two tensors: mask, positions"
    for name, part, before in zip(("mask", "positions"), both, (mask, positions), strict=True):
        _ids(part, "it")
        assert part.shape != before.shape, (
            f"the {name} did not grow: the text is one token longer, and so is the {name}"
        )
        assert part.shape == (2, 6), f"{name} of shape {tuple(part.shape)}; wanted is (2, 6)"
        assert torch.equal(part[:, :-1], before), f"the {name} of the old tokens changed"
    seen, places = (part[:, -1].tolist() for part in both)
    assert seen == [1, 1], (
        f"the new tokens have the mask {seen}; they are real, so 1 in every row, or the model "
        "would not look at what it has just written"
    )
    assert places != [5, 5], (
        "you counted on from the row's length, padding included; each row goes on from its own "
        "last position"
    )
    assert places == [3, 5], f"after the positions 2 and 4 come 3 and 5; you have {places}"
    print("check_grown: one more 1 for each row, and one more position of its own.")


class _Rows(NamedTuple):
    """A batch, and how it is to end."""

    prompts: list[list[int]]
    limit: int
    ends: list[int]
    pad: int


def _batches() -> list[_Rows]:
    """Batches whose rows end at different times, with a padding token of their own and without."""
    prompts = _BATCHES[0]
    first = text_after(prompts[0], _LIMIT)[len(prompts[0]) :]
    others = [text_after(prompt, _LIMIT)[len(prompt) :] for prompt in prompts[1:]]
    theirs = {token for row in others for token in row}
    at = next(n for n in (1, 2, 3) if first[n] not in theirs.union(first[:n]))
    own = next(token for token in range(VOCABULARY) if token not in theirs.union(first))
    last = [row[-2] for row in others]
    return [
        _Rows(prompts, _LIMIT, [], own),
        _Rows(prompts, _LIMIT, [first[at]], own),
        _Rows(prompts, _LIMIT, [first[at]], first[at]),  # padding is the EOS, as in many models
        _Rows(prompts, _LIMIT, [first[at], *last], own),  # all rows end before the limit
    ]


@once_written
def check_my_loop(answer: Callable[..., Tensor]) -> None:
    """Compare `answer(model, input_ids, attention_mask, max_new_tokens, eos, pad, choose)`, row by
    row, with the texts that a loop without batch, cache, mask and positions writes.

    input_ids, attention_mask: (batch, length) int64, padding on the left. eos: (any number of
    ids,) int64. pad: an id. choose: from logits (batch, vocab) to ids (batch, 1). The answer
    returns (batch, length + new), finished rows filled up with pad. Raises AssertionError with the
    misconception that it found.
    """
    for case in _batches():
        model, seen = StandIn(), []

        def choose(logits: Tensor, seen: list = seen) -> Tensor:
            seen.append(tuple(logits.shape))
            return likeliest(logits)

        ids, mask = _padded(case)
        out = answer(model, ids, mask, case.limit, _ends(case.ends), case.pad, choose=choose)
        yours = _ids(out, "it")
        _fed_once(model.calls, ids.shape[1])
        _told_what_is_real(model.calls, mask)
        assert seen, "you chose the likeliest token yourself; call `choose(logits)`"
        assert set(seen) == {(len(ids), VOCABULARY)}, (
            f"`choose` got logits of shape {seen[-1]}; give it the whole batch in every turn, "
            "finished rows too, or every later draw differs from generate's"
        )
        _same_rows(yours, ids.tolist(), case)
    print("check_my_loop: each row writes what it writes alone, and gets padding when it is done.")


def _padded(case: _Rows) -> tuple[Tensor, Tensor]:
    longest = max(map(len, case.prompts))
    gaps = [longest - len(prompt) for prompt in case.prompts]
    rows = [[case.pad] * gap + prompt for gap, prompt in zip(gaps, case.prompts, strict=True)]
    mask = [[0] * gap + [1] * (longest - gap) for gap in gaps]
    return torch.tensor(rows), torch.tensor(mask)


def _told_what_is_real(calls: list[Call], mask: Tensor) -> None:
    """Raise AssertionError unless every call got a mask and positions that fit what it read."""
    for number, call in enumerate(calls):
        length = call.held + call.fed.shape[1]
        assert call.mask is not None, (
            "the model got no attention_mask, so it reads the padding as text"
        )
        assert call.mask.shape[1] >= length, (
            f"in turn {number} the mask has {call.mask.shape[1]} entries for {length} tokens: it "
            "was not grown, so what has just been written is hidden"
        )
        assert torch.equal(call.mask[:, : mask.shape[1]], mask), "the mask of the prompt changed"
        assert call.positions is not None, (
            "the model got no position_ids, so it counts the padding too"
        )
        assert call.positions.shape[1] == call.fed.shape[1], (
            f"in turn {number} {call.fed.shape[1]} tokens were fed with {call.positions.shape[1]} "
            "positions; give those of the tokens that are fed: positions[:, -fed.shape[1] :]"
        )
        places = (mask.sum(dim=-1) - 1 + number).tolist()
        yours = call.positions[:, -1].tolist()
        assert yours != [mask.shape[1] - 1 + number] * len(mask), (
            "the positions count the padding; each row counts from its own first token"
        )
        assert yours == places, (
            f"in turn {number} the newest tokens stand at the positions {places}; you said {yours}"
        )


def _same_rows(yours: list[list[int]], prompts: list[list[int]], case: _Rows) -> None:
    """Raise AssertionError unless each row is its own text, and then padding."""
    texts = [text_after(prompt, case.limit, case.ends)[len(prompt) :] for prompt in case.prompts]
    on = [text_after(prompt, case.limit)[len(prompt) :] for prompt in case.prompts]
    most, least = max(map(len, texts)), min(map(len, texts))

    def rows(new: list[list[int]]) -> list[list[int]]:
        return [prompt + more for prompt, more in zip(prompts, new, strict=True)]

    def filled(new: list[list[int]], length: int) -> list[list[int]]:
        return [(text + [case.pad] * length)[:length] for text in new]

    right = rows(filled(texts, most))
    if yours == right:
        return
    dropped = [text[:-1] if text[-1] in case.ends else text for text in texts]
    _name_the_first(
        [
            (_NO_PROMPT, filled(texts, most)),
            ("a finished row was not padded: it goes on writing after its EOS; give it `pad` "
             "while others run", rows([text[:most] for text in on])),
            ("you stopped when the first row was done; go on while any row runs",
             rows(filled(texts, least))),
            ("you went on to the limit though all rows were done; stop when none runs",
             rows(filled(texts, case.limit))),
            ("the EOS itself was replaced by padding; a row is done after its EOS is appended, so "
             "look at who runs before this turn's token counts", rows(filled(dropped, most))),
            ("the EOS itself was replaced by padding; a row is done after its EOS is appended, so "
             "look at who runs before this turn's token counts",
             rows(filled(dropped, max(map(len, dropped))))),
        ],
        yours,
        right,
    )  # fmt: skip
    raise AssertionError(
        f"prompts {case.prompts}, eos {case.ends}, pad {case.pad}: wanted is {right}; you returned "
        f"{yours}"
    )


# The exercises at the lesson's end.


@once_written
def check_answer_lengths(answer: Callable[..., Tensor]) -> None:
    """Compare `answer(ids, prompt_length, eos)` with a count, token by token, in each row.

    ids: (batch, length) int64, a batch as generate returns it. eos: (any number of ids,) int64.
    The answer returns (batch,) int64: new tokens up to the first EOS, which counts. Raises
    AssertionError with the misconception that it found.
    """
    cases = (
        ([[2, 7, 8, 9, 2, 2, 2], [2, 7, 5, 6, 4, 3, 2]], 2, [2]),  # padding is the EOS
        ([[1, 7, 8, 9, 5, 6, 4], [1, 7, 5, 2, 0, 0, 0]], 2, [2]),  # the first came to the limit
        ([[7, 8, 3, 2], [7, 8, 5, 3]], 2, [2, 3]),
        ([[7, 2, 5]], 1, [2]),
        ([[7, 2, 5, 6]], 2, [2]),  # an end in the prompt
    )

    def everywhere(count: Callable[[list[int], set[int]], int]) -> list[list[int]]:
        return [[count(row[start:], set(ends)) for row in rows] for rows, start, ends in cases]

    def places(new: list[int], ends: set[int]) -> list[int]:
        return [at for at, token in enumerate(new) if token in ends]

    def counted(new: list[int], ends: set[int]) -> int:
        return min([*places(new, ends), len(new) - 1]) + 1

    yours = []
    for rows, start, ends in cases:
        made = answer(torch.tensor(rows), start, _ends(ends))
        assert isinstance(made, Tensor), f"return a tensor, not {type(made).__name__}"
        assert made.shape == (len(rows),), (
            f"you returned shape {tuple(made.shape)}; return one number a row, {(len(rows),)}"
        )
        yours.append(made.tolist())
    if yours == everywhere(counted):
        print("check_answer_lengths: each row up to its first new EOS, padding left out.")
        return
    prompts_too = [[counted(row, set(ends)) - start for row in rows] for rows, start, ends in cases]
    with_prompt = [
        [counted(row[start:], set(ends)) + start for row in rows] for rows, start, ends in cases
    ]
    never = "a row without an EOS came to the limit: all of its new tokens count"
    _name_the_first(
        [
            ("you counted the padding of finished rows", everywhere(lambda new, ends: len(new))),
            ("you left the EOS out; the model wrote it, so it counts",
             everywhere(lambda new, ends: counted(new, ends) - bool(places(new, ends)))),
            ("you dropped every EOS, also the one that the model wrote",
             everywhere(lambda new, ends: len(new) - len(places(new, ends)))),
            ("you counted the prompt", with_prompt),
            ("you found an end inside the prompt; look at new tokens only", prompts_too),
            ("you compared with the first id of `eos` only", [
                [counted(row[start:], set(ends[:1])) for row in rows]
                for rows, start, ends in cases
            ]),
            (never, everywhere(lambda new, ends: counted(new, ends) if places(new, ends) else 1)),
            (never, everywhere(lambda new, ends: counted(new, ends) if places(new, ends) else 0)),
        ],
        yours,
        everywhere(counted),
    )  # fmt: skip
    for (rows, start, ends), mine, right in zip(cases, yours, everywhere(counted), strict=True):
        assert mine == right, (
            f"ids {rows}, of which {start} are the prompt, eos {ends}: the new texts have {right} "
            f"tokens; you counted {mine}"
        )


@once_written
def check_no_recent_token(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Compare a rule, `answer(ids, scores)`, with a loop over the last 12 tokens of each row.

    ids: (batch, length) int64. scores: (batch, vocab) float32; the answer returns as many, -inf
    where a token is forbidden. Raises AssertionError with the misconception that it found.
    """
    made = torch.Generator().manual_seed(0)
    for length in (3, 12, 20):
        ids = torch.randint(40, (2, length), generator=made)
        scores = torch.randn(2, 40, generator=made)
        before = scores.clone()
        after = answer(ids, scores)
        assert torch.equal(scores, before), (
            "you changed the scores that you were given; return new ones"
        )
        assert isinstance(after, Tensor) and after.shape == scores.shape, (
            "return scores of the shape that you were given: a forbidden token keeps its place"
        )
        gone = [set((row == -math.inf).nonzero().flatten().tolist()) for row in after]
        texts = ids.tolist()
        recent = [set(text[-12:]) for text in texts]
        wrong = (
            ("you forbade the tokens of one row in another", [set.union(*recent)] * 2),
            ("you forbade every token of the text; only the last 12 places count",
             [set(text) for text in texts]),
            ("you forbade the first 12 places; the last 12 count",
             [set(text[:12]) for text in texts]),
            ("you forbade the last token alone; the last 12 places count",
             [set(text[-1:]) for text in texts]),
            ("nothing was forbidden: a forbidden token has the score -inf", [set(), set()]),
        )  # fmt: skip
        _name_the_first(wrong, gone, recent)
        assert gone == recent, f"for ids {texts} you forbade {gone}"
        kept = after != -math.inf
        assert torch.equal(after[kept], scores[kept]), "the other tokens keep their scores"
    print("check_no_recent_token: the last 12 tokens of each row are out, the rest as it was.")


@once_written
def check_log_probability(answer: Callable[[Sequence], Tensor | float]) -> None:
    """Compare `answer(steps)` with a sum in 64 bits.

    steps: each has probs, (1, vocab) float32, and chosen, (1,) int64; the answer returns the
    logarithm of the text's probability, in nats. Raises AssertionError with the misconception that
    it found.
    """
    made = torch.Generator().manual_seed(0)
    steps = []
    for _ in range(60):  # the product of 60 such numbers is 0 in 32 bits
        probs = (torch.randn(1, 30, generator=made) * 2).softmax(-1)
        steps.append(
            SimpleNamespace(probs=probs, chosen=torch.multinomial(probs, 1, generator=made)[0])
        )
    each = torch.cat([step.probs[0, step.chosen] for step in steps]).double()
    best = torch.cat([step.probs.amax(-1) for step in steps]).double()
    right, yours = each.log().sum().item(), float(answer(steps))
    assert math.isfinite(yours), (
        "the product of so many small numbers is 0 in 32 bits, and its logarithm is -inf; add the "
        "logarithms instead of multiplying"
    )
    wrong = (
        ("that is the mean over the tokens; the text's own is their sum", right / len(steps)),
        ("you used base 2; these are natural logarithms", right / math.log(2)),
        ("you used base 10; these are natural logarithms", right / math.log(10)),
        ("you took the likeliest token of each step; take the chosen one", best.log().sum().item()),
        ("the sign is the other way round: probabilities are below 1", -right),
        ("you added probabilities; add their logarithms", each.sum().item()),
    )
    for misconception, made_by_it in wrong:
        assert abs(yours - made_by_it) > 1e-2, misconception
    assert abs(yours - right) < 1e-2, f"the sum is {right:.3f}; you have {yours:.3f}"
    print("check_log_probability: the sum of the logarithms of what was chosen.")
