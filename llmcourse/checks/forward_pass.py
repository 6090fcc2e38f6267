"""Checks for lesson 1, one forward pass: what the learner writes in it, and its exercises.

Each takes a learner's answer, compares it with a slow and obvious specification on several inputs,
and raises AssertionError with the one misconception that it found, or prints a line.
"""

import math
from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor

from llmcourse.checks import once_written
from llmcourse.checks.compare import tensor_of


def _returned(answer: object, shape: tuple[int, ...], what: str) -> Tensor:
    """Return an answer that is a tensor of `shape`; raise AssertionError for any other."""
    wanted = f"{what} have shape {shape}"
    return tensor_of(shape, answer, what=f"{what}, a tensor", wanted=wanted).detach().float()


def _alike(answer: Tensor, other: Tensor) -> bool:
    return answer.shape == other.shape and torch.allclose(
        answer, other.float(), rtol=1e-3, atol=1e-5
    )


# Softmax


@once_written
def check_softmax(answer: Callable[[Tensor], Tensor]) -> None:
    """Compare `answer(logits)`, probabilities over the last axis, with sums in a plain loop.

    logits: (vocab,) or (rows, vocab) float32. Raises AssertionError with the misconception found.
    """
    for rows in _LOGITS:
        logits = torch.tensor(rows)
        before = logits.clone()
        probs = _returned(answer(logits), tuple(logits.shape), "probabilities")
        assert torch.equal(logits, before), "you changed the logits you were given; return new ones"
        wanted = _softmaxed(logits)
        if _alike(probs, wanted):
            continue
        assert probs.isfinite().all(), (
            f"you returned {probs.flatten().tolist()} for logits {rows}: the exponential overflows "
            "(or all of them vanish); subtract the largest logit first"
        )
        for misconception, wrong in _WRONG_SOFTMAX:
            assert not _alike(probs, wrong(logits)), misconception
        raise AssertionError(f"for logits {rows} you returned {probs.tolist()}, not {wanted}")
    print("check_softmax: positive, sums to 1 in each row, and large logits do not overflow.")


_LOGITS = (
    [0.0, 1.0, 2.0],
    [-3.0, 5.0, 0.5, 0.5],
    [[0.0, 1.0, 2.0], [3.0, 0.0, -1.0]],  # two rows
    [999.0, 1000.0, 998.0],  # exp would overflow
    [-1000.0, -1001.0, -999.0],  # exp would vanish
)


def _softmaxed(logits: Tensor) -> Tensor:
    rows = [
        [math.exp(logit - max(row)) for logit in row]
        for row in logits.reshape(-1, logits.shape[-1]).tolist()
    ]
    return torch.tensor([[one / sum(row) for one in row] for row in rows]).reshape(logits.shape)


_NOT_DIVIDED = "you took the exponential; now divide it by its sum"
_WRONG_SOFTMAX = (
    ("you divided by the sum of the whole tensor; each row sums to 1", lambda x: _over(x, None)),
    ("you summed down the rows; sum over the last axis, the vocabulary", lambda x: _over(x, 0)),
    (
        "you divided the logits themselves by their sum; logits may be negative, so take the "
        "exponential first",
        lambda x: x / x.sum(-1, keepdim=True),
    ),
    (_NOT_DIVIDED, torch.exp),
    (
        _NOT_DIVIDED,
        lambda x: (x - x.amax(-1, keepdim=True)).exp(),
    ),
    ("this is each logit's own sigmoid; tokens compete, so divide by their sum", torch.sigmoid),
    ("these are logarithms of probabilities; return probabilities", lambda x: x.log_softmax(-1)),
    (
        "your base is 2; softmax takes e, or another distribution comes out",
        lambda x: (x * math.log(2)).softmax(-1),
    ),
    (
        "you made the least likely token the likeliest; the sign is wrong",
        lambda x: (-x).softmax(-1),
    ),
)


def _over(logits: Tensor, axis: int | None) -> Tensor:
    powers = (logits - logits.max()).exp()
    return powers / (powers.sum() if axis is None else powers.sum(axis, keepdim=True))


# Surprise


@once_written
def check_surprise(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Compare `answer(logits, ids)`, bits of all tokens but the first, with a loop over them.

    logits: (length, vocab) float32. ids: (length,) int64. The answer has shape (length - 1,).
    Raises AssertionError with the misconception that it found.
    """
    generator = torch.Generator().manual_seed(0)
    for ids in ([0, 3, 1, 1, 5], [2, 2], [4, 0, 5]):
        logits = 3 * torch.randn(len(ids), 6, generator=generator)
        given = logits.clone()
        bits = answer(logits, torch.tensor(ids))
        if isinstance(bits, Tensor) and bits.shape == (len(ids),):
            raise AssertionError(
                f"you returned {len(ids)} numbers for {len(ids)} tokens: nothing predicts the "
                "first token, and nothing follows the last row"
            )
        bits = _returned(bits, (len(ids) - 1,), "bits")
        assert torch.equal(logits, given), "you changed the logits you were given"
        if _alike(bits, _bits(logits, ids, shift=1)):
            continue
        for misconception, wrong in _WRONG_BITS:
            assert not _alike(bits, wrong(logits, ids)), misconception
        wanted = [round(one, 2) for one in _bits(logits, ids, shift=1).tolist()]
        raise AssertionError(f"ids {ids} cost {wanted} bits with these logits; you said {bits}")
    print("check_surprise: each token is charged by the row before it, in bits.")


def _bits(logits: Tensor, ids: list[int], *, shift: int) -> Tensor:
    """Return -log2 of the probability that row `place - shift` gave the token at `place`."""
    probs = _softmaxed(logits)
    return torch.tensor(
        [-math.log2(probs[place - shift, ids[place]]) for place in range(1, len(ids))]
    )


def _shares(logits: Tensor, ids: list[int]) -> Tensor:
    return 2 ** -_bits(logits, ids, shift=1)


_OWN_ROW = "you charged each token by its own row; the row at a place predicts the token after it"
_WRONG_BITS = (
    (
        _OWN_ROW,
        lambda logits, ids: _bits(logits, ids, shift=0),
    ),
    (
        _OWN_ROW,
        lambda logits, ids: -logits.log_softmax(-1)[range(len(ids) - 1), ids[:-1]] / math.log(2),
    ),
    (
        "these are nats: you took the natural logarithm; bits take log2",
        lambda logits, ids: _bits(logits, ids, shift=1) * math.log(2),
    ),
    (
        "your bits are negative: the logarithm of a probability is at most 0, so it takes a minus",
        lambda logits, ids: -_bits(logits, ids, shift=1),
    ),
    ("these are probabilities; surprise is -log2 of them", _shares),
    (
        "these are logits; take the softmax of each row first",
        lambda logits, ids: logits[range(len(ids) - 1), ids[1:]],
    ),
    (
        "you took the softmax down the rows; take it over the vocabulary, the last axis",
        lambda logits, ids: -logits.softmax(0)[range(len(ids) - 1), ids[1:]].log2(),
    ),
    (
        "this is the surprise of the likeliest token; charge the token that came",
        lambda logits, ids: -logits[:-1].softmax(-1).amax(-1).log2(),
    ),
)


# The last matrix product


@once_written
def check_to_logits(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Compare `answer(vectors, table)`, one score for each row of the table, with plain sums.

    vectors: (length, hidden) float32. table: (vocab, hidden) float32. The answer has shape
    (length, vocab). Raises AssertionError with the misconception that it found.
    """
    generator = torch.Generator().manual_seed(0)
    for length, hidden, vocabulary in ((3, 4, 7), (1, 5, 2), (4, 4, 4)):  # the last fits any way
        vectors = torch.randn(length, hidden, generator=generator)
        table = torch.randn(vocabulary, hidden, generator=generator)
        given = vectors.clone(), table.clone()
        try:
            scores = answer(vectors, table)
        except (RuntimeError, IndexError, ValueError) as error:
            raise AssertionError(
                f"torch cannot multiply these: {error}. The table is (vocab, hidden); turn it "
                "over, table.T, so that (length, hidden) @ (hidden, vocab) fits"
            ) from error
        assert torch.equal(vectors, given[0]) and torch.equal(table, given[1]), (
            "you changed what you were given"
        )
        if isinstance(scores, Tensor) and scores.shape == (vocabulary,) != (length, vocabulary):
            raise AssertionError("you returned one row; each position has its logits")
        scores = _returned(scores, (length, vocabulary), "logits")
        if _alike(scores, _products(vectors, table)):
            continue
        for misconception, wrong in _WRONG_PRODUCTS:
            assert not _alike(scores, wrong(vectors, table)), misconception
        raise AssertionError("each logit is the sum of products of a vector and a row of the table")
    print("check_to_logits: one dot product for each position and each row of the table.")


def _products(vectors: Tensor, table: Tensor) -> Tensor:
    return torch.tensor(
        [
            [sum(a * b for a, b in zip(vector, row, strict=True)) for row in table.tolist()]
            for vector in vectors.tolist()
        ]
    )


_WRONG_PRODUCTS = (
    (
        "these are probabilities; the logits come before the softmax",
        lambda v, t: _products(v, t).softmax(-1),
    ),
    (
        "you divided by the lengths, which gives cosines; logits are plain products",
        lambda v, t: _products(v, t) / v.norm(dim=-1)[:, None] / t.norm(dim=-1),
    ),
    (
        "these are probabilities or logarithms of them; the logits come before the softmax",
        lambda v, t: _products(v, t).log_softmax(-1),
    ),
    (
        "you used the table's columns; its rows are the tokens, so multiply by table.T",
        lambda v, t: v @ t if v.shape[1] == len(t) else _products(v, t) + 1,
    ),
    (
        "your rows are the tokens; the rows of logits are the positions, the columns the tokens",
        lambda v, t: _products(t, v) if len(v) == len(t) else _products(v, t) + 1,
    ),
)


# The attention mask


@once_written
def check_mask(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Compare `answer(ids, pad)`, 1 for what is real and 0 for padding, with a walk from the left.

    ids: (batch, length) int64, padded on the left with the id `pad`, which may be a real token
    too (an end mark). Raises AssertionError with the misconception that it found.
    """
    for rows in _PADDED:
        ids = torch.tensor(rows)
        before = ids.clone()
        mask = answer(ids, _PAD)
        assert torch.equal(ids, before), "you changed the ids; return a mask beside them"
        mask = _returned(mask, tuple(ids.shape), "the mask's numbers").long()
        wanted = torch.tensor(list(map(_real, rows)))
        if torch.equal(mask, wanted):
            continue
        for misconception, wrong in _WRONG_MASKS:
            assert not torch.equal(mask, torch.tensor(wrong(rows))), misconception
        raise AssertionError(
            f"of ids {rows}, padded with {_PAD}, the mask is {wanted.tolist()}; you returned "
            f"{mask.tolist()}"
        )
    print("check_mask: 0 for the padding in front, 1 for all the rest, real end marks included.")


_PAD = 2
_PADDED = (
    [[2, 2, 5, 6], [7, 8, 9, 3]],
    [[5, 6]],  # nothing to hide
    [[2, 2, 2, 5, 2, 6, 2]],  # the padding token is a real one too: it ends messages
)


def _real(row: list[int]) -> list[int]:
    first = next(place for place, token in enumerate(row) if token != _PAD)
    return [0] * first + [1] * (len(row) - first)


_WRONG_WAY_ROUND = "it is the wrong way round: 1 is for what the model may see, 0 for padding"
_WRONG_MASKS = (
    (
        _WRONG_WAY_ROUND,
        lambda rows: [[1 - one for one in _real(row)] for row in rows],
    ),
    (
        _WRONG_WAY_ROUND,
        lambda rows: [[int(token == _PAD) for token in row] for row in rows],
    ),
    (
        "you hid every end mark: the padding token stands inside the text too, and there it is "
        "real; only what stands in front of the first other token is padding",
        lambda rows: [[int(token != _PAD) for token in row] for row in rows],
    ),
    (
        "you hid nothing: the ids in front are padding",
        lambda rows: [[1] * len(row) for row in rows],
    ),
    (
        "you cut from the right; this batch is padded on the left",
        lambda rows: [_real(row)[::-1] for row in rows],
    ),
    (
        "the same places are hidden in every row; each row has padding of its own",
        lambda rows: [_real(rows[0])] * len(rows),
    ),
)


# Exercise 1: a multiple-choice test


@once_written
def check_pick(answer: Callable[[Callable[[str], Tensor], str, list[str]], str]) -> None:
    """Compare `answer(bits, start, answers)` with a division by hand, for made-up surprises.

    bits: a function that returns the bits of all tokens of a text but the first. Wanted: the answer
    that adds the fewest bits per character. Raises AssertionError with the misconception found.
    """
    chosen = [answer(_made_up(costs), _START, list(costs)) for costs in _COSTS]
    for one, costs in zip(chosen, _COSTS, strict=True):
        assert one in costs, f"return one of the answers, as it is; you returned {one!r}"
    wanted = _picked(lambda text, bits: sum(bits) / len(text))
    if chosen != wanted:
        for misconception, price in _WRONG_PRICES:
            assert chosen != _picked(price), misconception
        for one, right, costs in zip(chosen, wanted, _COSTS, strict=True):
            assert one == right, f"of answers with the bits {costs} you picked {one!r}"
    print("check_pick: the fewest bits per character, of what the answer adds.")


_START, _STARTS_BITS = "The start", (8.0, 4.0, 0.0)
# Answers, with the bits of each of their tokens.
_COSTS = (
    {" a": (4.0,), " abcdefghi": (5.0, 5.0)},
    {" abcdefgh": (5.0,), " abcdefghi": (4.0, 4.0, 4.0)},
    {" abcd": (2.0,), " abcdefghijklmnopqrst": (12.0,)},
    {" abcd": (2.0,), " abcdefghijkl": (2.2, 2.2, 2.2, 2.2)},
)


def _made_up(costs: dict[str, tuple[float, ...]]) -> Callable[[str], Tensor]:
    texts = {_START: _STARTS_BITS} | {
        _START + text: (*_STARTS_BITS, *bits) for text, bits in costs.items()
    }

    def bits(text: str) -> Tensor:
        assert text in texts, f"ask for bits(start) and bits(start + answer), not for {text!r}"
        return torch.tensor(texts[text])

    return bits


def _picked(price: Callable[[str, tuple[float, ...]], float]) -> list[str]:
    return [min(costs, key=lambda text: price(text, costs[text])) for costs in _COSTS]


_WITH_START = (
    "you divided the start's bits too, which favors long answers; count what the answer adds"
)
_WRONG_PRICES = (
    (
        "you compared sums: they favor short answers; divide by the answer's characters",
        lambda text, bits: sum(bits),
    ),
    (
        "you divided by tokens, and a rare word has many cheap ones; divide by characters",
        lambda text, bits: sum(bits) / len(bits),
    ),
    (
        _WITH_START,
        lambda text, bits: (sum(_STARTS_BITS) + sum(bits)) / len(text),
    ),
    (
        _WITH_START,
        lambda text, bits: (sum(_STARTS_BITS) + sum(bits)) / len(_START + text),
    ),
    (
        "you took the mean over the whole text; count what the answer adds, per character",
        lambda text, bits: (sum(_STARTS_BITS) + sum(bits)) / (3 + len(bits)),
    ),
    (
        "you picked the most surprising answer; take the least",
        lambda text, bits: -sum(bits) / len(text),
    ),
)


# Exercise 2: hide a word


@once_written
def check_without(answer: Callable) -> None:
    """Look at how `answer(model, ids, place)` calls a model that only writes down its arguments.

    Wanted: one call with the ids as they are and a mask that is 0 at `place` alone; the last row of
    its logits. Raises AssertionError with the misconception that it found.
    """
    for length, place in ((5, 3), (4, 1)):
        model, ids = _Witness(), torch.arange(10, 10 + length)[None]
        before = ids.clone()
        row = answer(model, ids, place)
        assert torch.equal(ids, before), "you changed the ids; only the mask hides the word"
        assert model.seen is not None, "call the model: model(input_ids, attention_mask=mask)"
        seen, mask = model.seen
        assert seen.shape[-1] == length, (
            "you took the token out, which moves all others to new positions; leave it, hidden"
        )
        assert torch.equal(seen, ids), "you put another token in its place; leave it, hidden"
        assert mask is not None, "no attention_mask reached the model, so it saw everything"
        assert tuple(mask.shape) == (1, length), f"the mask's shape is {tuple(mask.shape)}"
        hidden = [at for at, seen in enumerate(mask[0].tolist()) if not seen]
        assert hidden != [at for at in range(length) if at != place], (
            "your mask shows the word alone; 0 hides, 1 shows"
        )
        assert hidden == [place], f"your mask hides the places {hidden}, not {place} alone"
        wanted = model.logits[0, -1]
        assert isinstance(row, Tensor), "return the last row of the logits, a tensor"
        assert row.shape != wanted.shape or not torch.equal(row, model.logits[0, place]), (
            "you returned the hidden token's own row; the last row says what comes next"
        )
        assert row.numel() == wanted.numel() and torch.equal(row.flatten(), wanted), (
            "return the last row of the logits, (vocab,)"
        )
    print("check_without: the ids as they are, a mask with one 0, and the last row.")


class _Witness:
    """Stands for a model: it writes down what it is called with."""

    device = torch.device("cpu")

    def __init__(self):
        self.seen, self.logits = None, torch.empty(0)

    def __call__(self, input_ids: Tensor, attention_mask: Tensor | None = None, **others):
        self.seen = input_ids, attention_mask
        self.logits = torch.arange(input_ids.shape[-1] * 6.0).reshape(1, -1, 6)
        return SimpleNamespace(logits=self.logits)


# Exercise 3: neighbours in the table


@once_written
def check_nearest(answer: Callable[[Tensor, int, int], list[int]]) -> None:
    """Compare `answer(table, token, k)`, ids by falling cosine, with a loop over the rows.

    table: (vocab, hidden) float32. Raises AssertionError with the misconception that it found.
    """
    for table, token, k in ((_ROWS, 0, 3), (_ROWS, 4, 2)):
        chosen = [int(one) for one in answer(torch.tensor(table), token, k)]
        wanted = _neighbours(table, token, k)
        if chosen == wanted:
            continue
        assert token not in chosen, "a token is its own nearest neighbour; leave it out"
        assert len(chosen) == k, f"you returned {len(chosen)} ids, not k={k}"
        for misconception, measure in _WRONG_MEASURES:
            assert chosen != _neighbours(table, token, k, measure), misconception
        assert set(chosen) != set(wanted), "the right tokens, not in order; the nearest comes first"
        raise AssertionError(f"of token {token} the nearest are {wanted}; you returned {chosen}")
    print("check_nearest: by angle, not by length, and without the token itself.")


_ROWS = (
    [1.0, 0.0, 0.2],
    [8.0, 9.0, 0.0],  # long, and pointing elsewhere
    [0.2, 0.01, 0.03],  # short, and pointing the same way
    [3.0, 0.5, 0.5],
    [0.0, 1.0, -0.3],
    [-1.0, 0.1, 0.0],
    [1.0, 0.6, 0.6],
)


def _dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _cosine(one: list[float], other: list[float]) -> float:
    return _dot(one, other) / math.sqrt(_dot(one, one) * _dot(other, other))


def _neighbours(table, token: int, k: int, measure: Callable = _cosine) -> list[int]:
    others = [row for row in range(len(table)) if row != token]
    return sorted(others, key=lambda row: -measure(table[token], table[row]))[:k]


_WRONG_MEASURES = (
    ("you compared plain products, which favor long rows; divide by the lengths", _dot),
    (
        "you returned the farthest; the nearest have the largest cosine",
        lambda one, other: -_cosine(one, other),
    ),
    (
        "you compared distances, which favor short rows; compare angles: divide by the lengths",
        lambda one, other: -math.dist(one, other),
    ),
)
