"""What a learner's answer is compared with: a module for each lesson, and whose code goes on."""

import functools
from collections.abc import Callable

__all__ = ["is_stub", "once_written", "yours_or_ours"]


def is_stub(answer: Callable) -> bool:
    """Tell whether a function still raises the NotImplementedError that stands in each stub."""
    code = getattr(answer, "__code__", None)  # a `partial`, or torch's own, has none
    return code is not None and "NotImplementedError" in code.co_names


def yours_or_ours(yours: Callable, ours: Callable) -> Callable:
    """Return `yours`, or `ours` while yours is a stub; print which of them goes on."""
    chosen = ours if is_stub(yours) else yours
    whose = "ours, as yours is not written yet" if chosen is ours else "yours"
    print(f"{_name(yours)}: {whose}")
    return chosen


def once_written(check: Callable) -> Callable:
    """Decorate a check, `check(answer, ...)`: it passes over a stub, and a line says so."""

    @functools.wraps(check)
    def checked(answer: Callable, *arguments, **keywords) -> None:
        if is_stub(answer):
            print(f"{check.__name__}: nothing to check yet; write {_name(answer)} above.")
            return
        check(answer, *arguments, **keywords)

    return checked


def _name(answer: Callable) -> str:
    return getattr(answer, "__name__", type(answer).__name__)
