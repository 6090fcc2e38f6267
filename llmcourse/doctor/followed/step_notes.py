"""What is noted of a step: what a callable of the user's got, what it returned, what that changed.

Scores are looked at on the CPU, the first rows of them; nothing here changes a tensor.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from llmcourse.doctor.case import MOST_ROWS, Edit, Step

_FEW = 64  # tokens that are noted by their ids
_NEARLY_ONE = 0.01  # by which probabilities may miss their sum
_SPREAD = 0.1  # of scores that count as alike
_ZERO = 1e-3  # a score up to which it counts as 0


def first_rows(scores) -> torch.Tensor | None:
    """Return a copy of the first rows of scores, (rows, vocabulary) float32, on the CPU."""
    if not isinstance(scores, torch.Tensor) or scores.dim() != 2:
        return None
    return scores[:MOST_ROWS].detach().to("cpu", torch.float32, copy=True)


def _digests(ids: torch.Tensor) -> tuple[bytes, ...]:
    rows = ids[:MOST_ROWS].detach().cpu().numpy()
    return tuple(_digest(row.tobytes()) for row in rows)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _in_words(value) -> str:
    if value is None:
        return "None"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def step_of_scores(ids: torch.Tensor, before: torch.Tensor | None, made) -> Step:
    """Return what a processor did; ids: (rows, length) int64; before: as `first_rows` has it."""
    wrong = before is None or not isinstance(made, torch.Tensor) or made.dim() != 2
    wrong = wrong or made.shape[1] != before.shape[1] or made.shape[0] != ids.shape[0]
    wrong = wrong or not made.is_floating_point()
    base = Step(ids.shape[1], _digests(ids), _in_words(made) if wrong else "", rows=len(ids))
    if wrong:
        return base
    after, texts = first_rows(made), ids[:MOST_ROWS].tolist()
    edits = tuple(map(edit, texts, before, after))
    return replace(base, edits=edits, said=tuple(one.bans for one in edits))


def step_of_verdict(ids: torch.Tensor, verdict) -> Step:
    """Return what a criterion said of ids, (rows, length) int64."""
    is_tensor = isinstance(verdict, torch.Tensor)
    per_row = is_tensor and tuple(verdict.shape) == (len(ids),)
    fits = per_row or isinstance(verdict, bool) or (is_tensor and verdict.numel() == 1)
    said = ()
    if per_row:
        said = tuple(bool(one) for one in verdict[:MOST_ROWS].tolist())
    elif fits:
        said = (bool(verdict),) * min(len(ids), MOST_ROWS)
    alone = not per_row and fits and len(ids) > 1
    returned = "one for all" if alone else ("" if fits else _in_words(verdict))
    return Step(ids.shape[1], _digests(ids), returned, said=said, rows=len(ids))


def step_of_allowed(ids: torch.Tensor, allowed, vocabulary: int, eos_ids: frozenset[int]) -> Step:
    """Return what a function of allowed tokens said of a row's ids, (length,) int64.

    vocabulary: how many tokens the model has; eos_ids: those that end a text.
    """
    plain = allowed.tolist() if hasattr(allowed, "tolist") else allowed
    fits = isinstance(plain, list | tuple | set | range) and all(
        isinstance(one, int) or getattr(one, "shape", None) == () for one in plain
    )
    base = Step(len(ids), _digests(ids[None]), "" if fits else _in_words(allowed))
    if not fits:
        if isinstance(plain, list | tuple) and plain:
            base = replace(base, returned=f"a {type(plain).__name__} of {type(plain[0]).__name__}")
        return base
    numbers = sorted({int(one) for one in plain})
    beyond = next((one for one in numbers if not -vocabulary <= one < vocabulary), None)
    return replace(
        base,
        returned="" if numbers else "an empty list",
        said=(tuple(numbers) if len(numbers) <= _FEW else _digest(str(numbers).encode()),),
        ids=tuple(numbers) if len(numbers) <= _FEW else None,
        ends=not eos_ids.isdisjoint(numbers),
        everything=len(numbers) >= vocabulary,
        beyond=beyond,
    )


def choices(before: torch.Tensor, after: torch.Tensor | None) -> Iterator[tuple]:
    """Yield what `Called.first_choice` has of each row of scores where few tokens were left."""
    if after is None or after.shape != before.shape:
        return
    for old, new in zip(before, after, strict=True):
        left = _few(~new.isneginf())
        if left and not bool(old.isneginf()[list(left)].all()):
            mass = float(old.softmax(-1)[list(left)].sum())
            yield int(old.argmax()), left, mass


def edit(text: list[int], before: torch.Tensor, after: torch.Tensor) -> Edit:
    """Return what was done to a row of scores, (vocabulary,) float32; text: the row's ids."""
    differs = (before != after) & ~(before.isnan() & after.isnan())
    changed = int(differs.sum())
    if not changed:
        return Edit()
    gone = after.isneginf()
    banned = gone & ~before.isneginf()
    finite = after.isfinite()
    values, old = after[finite], before[finite]
    faults = set(_faults(before, after, values, old))
    pairs = _of_the_text(text, differs, before, after)
    return Edit(
        changed=changed,
        bans=_digest(banned.numpy().tobytes()) if bool(banned.any()) else b"",
        banned=_few(banned),
        left=_few(~gone),
        faults=frozenset(faults),
        flat=None if faults else _flat(differs & finite, before, after, finite),
        signs=None if pairs is None else _signs(pairs),
        factor=None if pairs is None else _factor(pairs),
    )


def _few(mask: torch.Tensor) -> tuple[int, ...]:
    places = mask.nonzero().flatten()
    return tuple(places.tolist()) if len(places) <= _FEW else ()


def _faults(before, after, values, old) -> Iterator[str]:
    """Yield what is wrong with a row of scores, and was not before; values, old: the finite."""
    if bool(after.isnan().any()) and not bool(before.isnan().any()):
        yield "nan"
    if bool(after.isposinf().any()) and not bool(before.isposinf().any()):
        yield "infinite"
    if bool(after.isneginf().all()) and not bool(before.isneginf().all()):
        yield "none left"
    if len(values) < 2:
        return
    low, high = float(values.min()), float(values.max())
    known = old[old.isfinite()]
    if not len(known):
        return
    was_low, was_high = float(known.min()), float(known.max())
    if low == high and was_low != was_high:
        yield "mask"
        return
    shares = low >= 0 and float(values.sum()) <= 1 + _NEARLY_ONE
    if shares and not (was_low >= 0 and was_high <= 1):
        yield "probabilities"


def _flat(changed, before, after, finite) -> tuple[float, int, float, float] | None:
    """Return tokens of one new finite score, at most 0, as `Edit` has it; None if there are none.

    A floor below which no score falls (a clamp) takes nothing away, and is left out.
    """
    if not bool(changed.any()) or int(finite.sum()) < 2:
        return None
    values = after[changed]
    middle = values.median()  # most of those that change, change to it
    score, count = float(middle), int((values == middle).sum())
    zero = abs(score) <= _ZERO
    if score > _ZERO or (count < 2 and not zero):
        return None
    same = changed & (after == middle)
    were = before[same]
    if count > 1 and float(were.max() - were.min()) <= _SPREAD:
        return None  # alike before, in half precision for instance, and moved together
    rest = finite & ~same
    a_floor = bool((before[same] <= score).all()) and not bool((after[rest] < score).any())
    if (a_floor and not zero) or not bool(rest.any()):
        return None
    was, now = (torch.softmax(one, -1)[same].sum() for one in (before, after))
    was, now = float(was), float(now)
    return None if math.isnan(was) or math.isnan(now) else (score, count, was, now)


def _of_the_text(text: list[int], changed, before, after) -> list[tuple[float, float]] | None:
    """Return (before, after) of what changed; None if that are others than the text's tokens."""
    places = changed.nonzero().flatten().tolist()
    if len(places) > len(text) or not set(places) <= set(text):
        return None
    pairs = [(float(before[one]), float(after[one])) for one in places]
    finite = all(math.isfinite(old) and math.isfinite(new) for old, new in pairs)
    return pairs if finite else None


def _factor(pairs: list[tuple[float, float]]) -> float | None:
    """Return by what all scores were multiplied; None if by nothing that is the same for all."""
    factors = [new / old for old, new in pairs if abs(old) > _ZERO]
    if len(factors) < len(pairs) or max(factors) - min(factors) > _ZERO:
        return None
    return sum(factors) / len(factors)


def _signs(pairs: list[tuple[float, float]]) -> tuple[int, int, int, int]:
    """Return how scores moved by their sign, as `Edit` has it."""
    return (
        sum(old < 0 and new > old for old, new in pairs),
        sum(old < 0 and new < old for old, new in pairs),
        sum(old > 0 and new > old for old, new in pairs),
        sum(old > 0 and new < old for old, new in pairs),
    )
