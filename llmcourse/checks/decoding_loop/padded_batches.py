"""Checks for a loop that writes several texts at once: padding, mask, positions, finished rows."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from llmcourse.checks import once_written
from llmcourse.checks.compare import name_the_first, rows_of_ids
from llmcourse.checks.decoding_loop.one_row import (
    LIMIT,
    NO_PROMPT,
    PROMPTS,
    eos_ids,
    fed_once,
)
from llmcourse.checks.stand_in import VOCABULARY, Call, StandIn, likeliest, text_after

_PAD = 3
# Prompts of different lengths; the token that pads stands inside some of them, too.
_BATCHES = (
    PROMPTS,
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
        ids, mask = (rows_of_ids(part) for part in both)
        gaps = [[_PAD] * (longest - len(prompt)) for prompt in prompts]
        right = [gap + prompt for gap, prompt in zip(gaps, prompts, strict=True)]
        wrong = (
            ("you padded on the right: the last position of a short row is padding then, and the "
             "next token is predicted from it; fill up on the left",
             [prompt + gap for gap, prompt in zip(gaps, prompts, strict=True)]),
            ("you cut the longer prompts; fill the shorter ones up",
             [prompt[-min(map(len, prompts)) :] for prompt in prompts]),
        )  # fmt: skip
        name_the_first(wrong, ids, right)
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
        name_the_first(wrong, mask, seen)
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
        yours = rows_of_ids(made)
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
        name_the_first(wrong, real(yours), right)
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
        rows_of_ids(part)
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
    first, *others = [text_after(prompt, LIMIT)[len(prompt) :] for prompt in PROMPTS]
    theirs = {token for row in others for token in row}
    at = next(n for n in (1, 2, 3) if first[n] not in theirs.union(first[:n]))
    own = next(token for token in range(VOCABULARY) if token not in theirs.union(first))
    last = [row[-2] for row in others]
    return [
        _Rows(PROMPTS, LIMIT, [], own),
        _Rows(PROMPTS, LIMIT, [first[at]], own),
        _Rows(PROMPTS, LIMIT, [first[at]], first[at]),  # padding is the EOS, as in many models
        _Rows(PROMPTS, LIMIT, [first[at], *last], own),  # all rows end before the limit
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
        out = answer(model, ids, mask, case.limit, eos_ids(case.ends), case.pad, choose=choose)
        yours = rows_of_ids(out)
        fed_once(model.calls, ids.shape[1])
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
    name_the_first(
        [
            (NO_PROMPT, filled(texts, most)),
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
