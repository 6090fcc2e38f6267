"""What a learner's answer is compared with: a module for each lesson, and whose code goes on."""

import functools
import textwrap
from collections.abc import Callable, Mapping

__all__ = ["is_stub", "once_written", "summary", "yours_or_ours"]

OURS, UNCHECKED, WRONG, RIGHT = "ours", "not checked", "not right yet", "right"
_state: dict[str, str] = {}  # by name, of all that this kernel has met: one of the four
_goes_on: set[str] = set()  # the names that a lesson goes on with; the others are exercises
_about: dict[Callable, str] = {}  # by check: the name of what it checks


def is_stub(answer: Callable | Mapping) -> bool:
    """Tell whether a stub is as it was: its NotImplementedError, or a `...`, still stands.

    A function's stub raises; a dictionary's has `...` in place of each value that is wanted.
    """
    if isinstance(answer, Mapping):
        return any(value is ... for value in answer.values())
    code = getattr(answer, "__code__", None)  # a `partial`, or torch's own, has none
    return code is not None and "NotImplementedError" in code.co_names


def yours_or_ours(yours: Callable, ours: Callable) -> Callable:
    """Return `yours`, or `ours` while yours is a stub; print which of them goes on."""
    piece = _name(ours).removeprefix("our_") if _is_ours(ours) else _name(yours)
    run_again = _is_ours(yours)  # this cell alone: what was ours before comes back as yours
    chosen = ours if is_stub(yours) or run_again else yours
    whose = "ours, as yours is not written yet" if chosen is ours else "yours"
    print(f"{piece if run_again else _name(yours)}: {whose}")
    _goes_on.add(piece)
    if chosen is ours:
        _state[piece] = OURS
    elif _state.get(piece) in (None, OURS):
        _state[piece] = UNCHECKED
    return chosen


def once_written(check: Callable) -> Callable:
    """Decorate a check, `check(answer, ...)`: it passes over a stub, and a line says so."""

    @functools.wraps(check)
    def checked(answer: Callable | Mapping, *arguments, **keywords) -> None:
        if _is_ours(answer):
            check(answer, *arguments, **keywords)
            return
        name = _about.setdefault(check, _named(answer) or check.__name__.removeprefix("check_"))
        if is_stub(answer):
            _state[name] = OURS
            to_do = "fill in the `...`" if isinstance(answer, Mapping) else f"write {_name(answer)}"
            print(f"{check.__name__}: nothing to check yet; {to_do} above.")
            return
        _state[name] = WRONG
        check(answer, *arguments, **keywords)
        _state[name] = RIGHT

    return checked


def summary() -> None:
    """Print how much of what this kernel has met is the learner's own, and passed its check.

    What was run last counts. Exercises, which a lesson does not go on with, have a line of their
    own, and none if none was met.
    """
    pieces = {name: state for name, state in _state.items() if name in _goes_on}
    exercises = {name: state for name, state in _state.items() if name not in _goes_on}
    right = [name for name, state in pieces.items() if state == RIGHT]
    if not _state:
        print("Nothing to sum up yet: run the cells that are yours to write.")
    if pieces and len(right) == len(pieces):
        print(f"All green: {len(right)} of {len(pieces)}.")
    elif pieces:
        which = f" ({', '.join(right)})" if right else ""
        rest = _in_words(
            pieces, {WRONG: "Not right yet", UNCHECKED: "Not checked", OURS: "Ours so far"}
        )
        _say(f"Yours: {len(right)} of {len(pieces)}{which}. {rest}")
    if exercises:
        _say(
            "Exercises. "
            + _in_words(exercises, {RIGHT: "Right", WRONG: "Not right yet", OURS: "Open"})
        )


def _say(sentences: str) -> None:
    """Print in lines that a narrow page does not break within a name."""
    print(textwrap.fill(sentences, 72, break_long_words=False))


def _in_words(states: dict[str, str], titles: dict[str, str]) -> str:
    """Say which names are in which state, in the order of the titles: "Right: a, b. Open: c."."""
    named = {
        title: [n for n, one in states.items() if one == state] for state, title in titles.items()
    }
    return " ".join(f"{title}: {', '.join(names)}." for title, names in named.items() if names)


def _is_ours(answer: Callable) -> bool:
    return _named(answer).startswith("our_")


def _named(answer: Callable) -> str:
    """Return the name that a function was defined under; "" for a lambda, or no function at all."""
    name = getattr(answer, "__name__", "")
    return name if name.isidentifier() else ""


def _name(answer: Callable) -> str:
    return getattr(answer, "__name__", type(answer).__name__)
