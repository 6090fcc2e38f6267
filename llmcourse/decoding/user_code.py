"""Rules and criteria of the user's own in the loop: what they give back, and how they are called.

`generate` finds out late, or not at all, that a rule returned another shape. The loop looks after
each rule and each criterion, in every way of decoding, and names the one that went wrong.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral
from typing import Any

import torch
from transformers import LogitsProcessorList


class Checked:
    """A rule that is looked after: it must return scores like those it was given.

    What the rule raises itself passes through, and what torch cannot compute with fails in torch,
    as in `generate`; what would go on unseen, or fail much later, is named here.
    """

    def __init__(self, rule: Callable, greedy: bool, beams: bool):
        self.rule, self.greedy, self.beams = rule, greedy, beams
        # with more arguments than (ids, scores) it is asked through the library, which refuses it
        plain = len(inspect.signature(rule.__call__).parameters) <= 2
        self.ask = rule if plain else LogitsProcessorList([rule])

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """ids: (rows, length) int64, scores: (rows, vocab) float32; returns scores.

        Raises RuntimeError for another shape; TypeError, in greedy decoding, for what is no tensor
        of floating point numbers, and, in a beam search, for a tensor of others: `generate` goes on
        with those, and the loop with probabilities. A beam search without a tensor fails in torch.
        """
        given = scores.shape
        made = self.ask(ids, scores)
        tensor = isinstance(made, torch.Tensor)
        whole = tensor and not made.is_floating_point()
        if (self.greedy and (whole or not tensor)) or (self.beams and whole):
            raise TypeError(
                f"The rule {name_of(self.rule)} returned "
                f"{made.dtype if tensor else type(made).__name__}; return a floating point tensor "
                f"of shape {tuple(given)}, such as scores.masked_fill(...)."
            )
        if tensor and made.dim() and made.shape != given:
            raise RuntimeError(
                f"The rule {name_of(self.rule)} returned scores of shape {tuple(made.shape)}; "
                f"return {tuple(given)}, the shape it was given: a row for each text, a score for "
                "each token."
            )
        return made


def checked(rules, *, greedy: bool, beams: bool = False) -> LogitsProcessorList:
    """Return the rules, each looked after.

    greedy: whether the largest score is taken; beams: whether the best texts are kept.
    """
    return LogitsProcessorList([Checked(rule, greedy, beams) for rule in rules])


def unchecked(rules) -> list:
    """Return the rules as they were before `checked`."""
    return [rule.rule if isinstance(rule, Checked) else rule for rule in rules]


def checked_vote(criterion: Callable, vote, *, rows: int, integers: bool = True):
    """Return a criterion's vote, a bool or one for each of `rows`; raises for anything else.

    integers: whether they are votes too; then the lowest bit counts, as in `generate`, so 1 says
    yes and 2 says no. Raises TypeError for what is no truth value, RuntimeError for another number
    of them.
    """
    shape = vote.shape if isinstance(vote, torch.Tensor) else None
    if shape is None:
        truth, whole = isinstance(vote, bool), isinstance(vote, Integral)
    else:
        truth, whole = vote.dtype == torch.bool, vote.dtype in _WHOLE
    if not truth and not (integers and whole):
        kind = vote.dtype if shape is not None else type(vote).__name__
        raise TypeError(
            f"The criterion {name_of(criterion)} returned {kind}; return a bool tensor of shape "
            f"({rows},): True for each row that is done."
        )
    if shape is not None and tuple(shape) not in ((), (1,), (rows,)):
        raise RuntimeError(
            f"The criterion {name_of(criterion)} returned a vote of shape {tuple(shape)}; return "
            f"({rows},): True for each row that is done."
        )
    if truth:
        return vote
    return bool(vote & 1) if shape is None else (vote & 1).bool()


_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


# How a rule or a criterion is called.


def name_of(rule: Callable) -> str:
    """Return a rule's or a criterion's name with its settings: `keep_top_p(p=0.9)`.

    A partial shows what is bound; a processor those of its constructor's arguments which it keeps
    under the same name and which are not the default.
    """
    if isinstance(rule, partial):
        bound = [_short(value) for value in rule.args]
        bound += [f"{name}={_short(value)}" for name, value in rule.keywords.items()]
        return f"{name_of(rule.func)}({', '.join(bound)})"
    if hasattr(rule, "__name__"):
        return rule.__name__
    kept = [f"{name}={_short(value)}" for name, value in _settings(rule)]
    return type(rule).__name__ + (f"({', '.join(kept)})" if kept else "")


def _settings(rule) -> Iterator[tuple[str, Any]]:
    try:
        parameters = inspect.signature(type(rule)).parameters
    except (TypeError, ValueError):  # a class that is not written in Python
        return
    for name, parameter in parameters.items():
        value = _plain(getattr(rule, "__dict__", {}).get(name))
        if isinstance(value, _PLAIN) and value != parameter.default:
            yield name, value


_PLAIN = int | float | str | list | tuple | dict | set


def _plain(value):
    """Return what a small tensor holds, and anything else as it is."""
    return value.tolist() if isinstance(value, torch.Tensor) and value.numel() <= 8 else value


def _short(value) -> str:
    """Return a setting in a few characters; what is not a plain value by its kind alone."""
    value = _plain(value)
    if value is None or isinstance(value, _PLAIN):
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:39]}…"
    return getattr(value, "__name__", type(value).__name__)
