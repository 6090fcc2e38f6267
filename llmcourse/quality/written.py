"""Is a text that a model wrote a right answer? What is taken out of it, and what it must obey."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_SENTENCE_END = re.compile(r"[.!?]+(?=[\"'”’)]*(?:\s|$))")
_AROUND = " \t\r\n.,;:!?\"'“”‘’*`"  # what stands around a short answer and is no part of it


def extract_number(text: str, strict: bool = False) -> str | None:
    """Return the number that a text answers with, such as "1200" for "It is 1,200."; None for none.

    Of the first line that has a number the last one counts, so "3 + 4 = 7" answers 7. strict: a
    text counts only if it is a number and nothing else.
    """
    if strict:
        found = [text.strip()] if _NUMBER.fullmatch(text.strip()) else []
    else:
        lines = (_NUMBER.findall(line) for line in text.splitlines())
        found = next(filter(None, lines), [])
    if not found:
        return None
    number = found[-1].replace(",", "")
    return number.rstrip("0").rstrip(".") if "." in number else number


def plain(text: str) -> str:
    """Return a text in small letters, on one line, without the marks around it."""
    return " ".join(text.split()).strip(_AROUND).casefold()


EXTRACTED: dict[str, Callable[[str], str | None]] = {"text": plain, "number": extract_number}


def is_right(
    text: str,
    accepted: Collection[str] = (),
    rules: Mapping[str, Any] | None = None,
    extract: str = "text",
) -> bool:
    """Return whether a written text is one of the `accepted`, and obeys all `rules`.

    Both are compared as `extract`, one of EXTRACTED, leaves them; accepted: () for any text that is
    not empty. rules: of RULES, with what each is to be.
    """
    text = text.strip()
    if not text or not all(RULES[name](text, wanted) for name, wanted in (rules or {}).items()):
        return False
    taken = EXTRACTED[extract]
    return not accepted or taken(text) in [taken(one) for one in accepted]


def _sentences(text: str) -> int:
    return len(_SENTENCE_END.findall(text))


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _is_json(text: str, wanted: Any) -> bool:
    try:
        return json.loads(text) == wanted
    except ValueError:
        return False


RULES: dict[str, Callable[[str, Any], bool]] = {  # of a text without white space around it
    "words": lambda text, wanted: len(text.split()) == wanted,
    "at_most_words": lambda text, wanted: len(text.split()) <= wanted,
    "sentences": lambda text, wanted: _sentences(text) == wanted,
    "lines": lambda text, wanted: len(_lines(text)) == wanted,  # empty ones do not count
    "items": lambda text, wanted: len(text.split(",")) == wanted,
    "starts_with": lambda text, wanted: text.startswith(wanted),
    "ends_with": lambda text, wanted: text.endswith(wanted),
    "contains": lambda text, wanted: all(part in text for part in wanted),
    "without": lambda text, wanted: not any(part in text.lower() for part in wanted),
    "lowercase": lambda text, wanted: (text == text.lower()) == wanted,
    "uppercase": lambda text, wanted: (text == text.upper()) == wanted,
    "json": _is_json,
}
