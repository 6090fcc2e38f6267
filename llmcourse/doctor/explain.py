"""What is known about each code, in words: a section of docs/pitfalls.md, and `--explain`."""

import difflib
import inspect
from typing import Any

from llmcourse.doctor.finding import SEVERITIES
from llmcourse.doctor.followed import IN_A_RUN
from llmcourse.doctor.pitfalls import PITFALLS, Needs
from llmcourse.doctor.static import IN_THE_SOURCE

# When a pitfall can be found that the call alone does not show.
_SEEN = {
    Needs.OUTPUT: "in the output, with `run=True` or `watch`",
    Needs.DECODINGS: "where the output is decoded, under `watch`",
    Needs.FORWARDS: "in a loop written by hand, under `watch`",
    Needs.STREAMED: "in what a script does with a stream, by `python -m llmcourse doctor`",
    Needs.CALLED: "in the steps of a run, by `python -m llmcourse doctor`",
    Needs.LOADS: "where the model is loaded, under `watch`",
    Needs.TEMPLATE_CALLS: "where a template is rendered, under `watch`",
    Needs.FAILED: "where a tokenizer's call fails, under `watch`",
    Needs.USES: "in what a script does with the text, by `python -m llmcourse doctor`",
    Needs.TOKENIZER_CALLS: "where the prompt is tokenized, under `watch`",
}
_IN_A_RUN = "in a script's own steps, by `python -m llmcourse doctor`"
_IN_THE_SOURCE = "in the source, by `python -m llmcourse doctor`"


class UnknownCode(ValueError):
    """A code that the doctor does not have."""


def every_code() -> dict[str, Any]:
    """Return what is known of each code, by who has the words: a Pitfall, the source, a run."""
    known: dict[str, Any] = {}
    for checks in (PITFALLS, IN_THE_SOURCE, IN_A_RUN):
        known |= {code: check for code, check in checks.items() if code not in known}
    return known


def _checks_of(code: str) -> list:
    """Return all that finds a code: in a call, in the source, in a script's steps."""
    return [checks[code] for checks in (PITFALLS, IN_THE_SOURCE, IN_A_RUN) if code in checks]


def explain(code: str) -> str:
    """Return a code's section; raises UnknownCode, with the nearest names."""
    known = every_code()
    if code not in known:
        near = difflib.get_close_matches(code, known, n=3, cutoff=0.4)
        meant = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(known)}."
        raise UnknownCode(f"{code!r} is no code of the doctor. {meant}")
    return section(known[code])


def section(known) -> str:
    """Return what docs/pitfalls.md says about a code, in Markdown."""
    parts = [
        f"## {known.code}",
        f"{_kind(known)}",
        f"**Symptom.** {_line(known.symptom)}",
        f"**Cause.** {_line(known.cause)}",
        f"**Fix.** {_line(known.fix)}".rstrip(),
    ]
    if known.example:
        parts.append(f"```python\n{inspect.cleandoc(known.example)}\n```")
    how_sure = [_line(check.how_sure) for check in _checks_of(known.code)]
    parts.append(f"**How sure.** {' '.join(how_sure)}")
    return "\n\n".join(parts) + "\n"


def severities_of(known) -> list[str]:
    """Return the severities that a code's findings may have, wherever it is found."""
    may_have = {each for check in _checks_of(known.code) for each in check.severities}
    return [each for each in SEVERITIES if each in may_have]


def _kind(known) -> str:
    """Return a line such as `*Warning or note, seen in the output, with run=True or watch.*`"""
    *others, last = severities_of(known)
    severities = f"{', '.join(others)} or {last}" if others else last
    return f"*{severities.capitalize()}{_seen(known)}.*"


def _seen(known) -> str:
    if known.code in PITFALLS:
        of_a_call = {Needs.CALL, Needs.CHATS}.intersection(known.needs)
        return "" if of_a_call else f", seen {_SEEN[known.needs[0]]}"
    if known.code not in IN_A_RUN:
        return f", seen {_IN_THE_SOURCE}"
    return f", seen {_IN_A_RUN}" + (", or in the source" if known.code in IN_THE_SOURCE else "")


def _line(text: str) -> str:
    return " ".join(text.split())
