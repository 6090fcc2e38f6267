"""Rules and criteria of the user's own in the loop: what they give back, and how they are called.

`generate` finds out late, or not at all, that a rule returned another shape. The loop looks after
each rule and each criterion, in every way of decoding, and names the one that went wrong.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from transformers import LogitsProcessorList


class CheckedRules(LogitsProcessorList):
    """Rules that run in order, as in `generate`; each must return scores like those it was given.

    Raises TypeError where a rule returns anything but floating point scores, ValueError where their
    shape is another one. What a rule raises itself passes through.
    """

    def __init__(self, rules):
        super().__init__(rules)
        # a rule with more arguments than (ids, scores) is asked through the library, which refuses
        self.plain = [len(inspect.signature(rule.__call__).parameters) <= 2 for rule in self]

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """ids: (rows, length) int64, scores: (rows, vocab) float32; returns scores."""
        for rule, plain in zip(self, self.plain, strict=True):
            made = rule(ids, scores) if plain else LogitsProcessorList([rule])(ids, scores)
            scores = checked_scores(rule, made, like=scores)
        return scores


def checked_scores(rule: Callable, scores, *, like: torch.Tensor) -> torch.Tensor:
    """Return the scores that a rule made of `like`, (rows, vocab) float32; raises as said above."""
    if not isinstance(scores, torch.Tensor) or not scores.is_floating_point():
        kind = scores.dtype if isinstance(scores, torch.Tensor) else type(scores).__name__
        raise TypeError(
            f"The rule {name_of(rule)} returned {kind}; return a floating point tensor of shape "
            f"{tuple(like.shape)}, such as scores.masked_fill(...)."
        )
    if scores.shape != like.shape:
        raise ValueError(
            f"The rule {name_of(rule)} returned scores of shape {tuple(scores.shape)}; return "
            f"{tuple(like.shape)}, the shape it was given: a row for each text, a score for each "
            "token."
        )
    return scores


def checked_vote(criterion: Callable, vote, *, rows: int):
    """Return a criterion's vote, a bool or one for each of `rows`; raises for anything else.

    Raises TypeError for what is no truth value, ValueError for another number of them.
    """
    shape = vote.shape if isinstance(vote, torch.Tensor) else None
    known = vote.dtype == torch.bool if shape is not None else isinstance(vote, bool)
    if not known:
        kind = vote.dtype if shape is not None else type(vote).__name__
        raise TypeError(
            f"The criterion {name_of(criterion)} returned {kind}; return a bool tensor of shape "
            f"({rows},): True for each row that is done."
        )
    if shape is not None and tuple(shape) not in ((), (1,), (rows,)):
        raise ValueError(
            f"The criterion {name_of(criterion)} returned a vote of shape {tuple(shape)}; return "
            f"({rows},): True for each row that is done."
        )
    return vote


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
