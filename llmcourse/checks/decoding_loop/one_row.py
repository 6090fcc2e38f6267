"""Checks for a loop that writes one text: it appends, stops at an EOS, has a cache, and draws."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from llmcourse.checks import once_written
from llmcourse.checks.compare import name_the_first, rows_of_ids, tensor_of
from llmcourse.checks.stand_in import (
    VOCABULARY,
    Call,
    StandIn,
    likeliest,
    text_after,
    unlikeliest,
)

PROMPTS = [[5, 1, 8], [2, 2, 9, 4, 7], [11]]
LIMIT = 6


NO_PROMPT = "you returned the new tokens without the prompt; append to `ids`, and return all of it"


@once_written
def check_append_and_repeat(answer: Callable[..., Tensor]) -> None:
    """Compare `answer(model, ids, max_new_tokens)` with a loop over one token at a time.

    ids: (1, length) int64; the answer returns (1, length + max_new_tokens). Raises AssertionError
    with the misconception that it found.
    """

    def everywhere(loop: Callable[[list[int], int], list[int]]) -> list:
        return [[loop(prompt, limit)] for prompt in PROMPTS for limit in (1, LIMIT)]

    yours = everywhere(
        lambda prompt, limit: rows_of_ids(answer(StandIn(), torch.tensor([prompt]), limit))[0]
    )
    if yours == everywhere(text_after):
        print("check_append_and_repeat: each token was chosen from all that stood before it.")
        return
    wrong = (
        (NO_PROMPT, lambda prompt, limit: text_after(prompt, limit)[len(prompt) :]),
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
    name_the_first(
        [(said, everywhere(loop)) for said, loop in wrong], yours, everywhere(text_after)
    )
    right = text_after(PROMPTS[0], LIMIT)
    raise AssertionError(
        f"after the prompt {PROMPTS[0]} come {right[len(PROMPTS[0]) :]}; you returned {yours[1]}"
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
    for prompt in PROMPTS:
        new = text_after(prompt, LIMIT)[len(prompt) :]
        at = next(n for n in (2, 1, 3, 4) if new[n] not in [*new[:n], *prompt])
        absent = next(token for token in range(VOCABULARY) if token not in [*new, *prompt])
        cases += [
            _Ends(prompt, LIMIT, [new[at]]),
            _Ends(prompt, at + 1, [new[at]]),
            _Ends(prompt, LIMIT, [absent, new[at]]),
            _Ends(prompt, LIMIT, []),
        ]
        if prompt[0] not in new:  # a chat prompt has ends in it
            cases.append(_Ends(prompt, LIMIT, [prompt[0], new[at]]))
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
        (NO_PROMPT, everywhere(lambda *case: text_after(*case)[len(case[0]) :])),
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
    name_the_first(_stopped_anyhow(cases), yours, wanted)
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
        rows_of_ids(answer(StandIn(), torch.tensor([prompt]), limit, eos_ids(ends)))
        for prompt, limit, ends in cases
    ]
    _same_texts(yours, cases)
    print("check_until_eos: it stops at the limit or after an EOS, which it keeps.")


def eos_ids(ends: Sequence[int]) -> Tensor:
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
        yours.append(rows_of_ids(answer(model, ids, limit, eos_ids(ends), choose=likeliest)))
        fed_once(model.calls, len(prompt))
    _same_texts(yours, cases)
    mine = rows_of_ids(
        answer(StandIn(), torch.tensor([[5, 1, 8]]), 4, eos_ids([]), choose=unlikeliest)
    )
    assert mine == [text_after([5, 1, 8], 4, choose=unlikeliest)], (
        "you chose the likeliest token yourself; call `choose(logits)`, which may do otherwise"
    )
    print("check_with_cache: the prompt was read once, and then each new token once.")


def fed_once(calls: list[Call], prompt: int) -> None:
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
    rows = len(logits)
    wanted = f"return {(rows, 1)} for {rows} rows, one id each, ready to be appended"
    return tensor_of((rows, 1), drawn, what="a tensor of ids", wanted=wanted)


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
