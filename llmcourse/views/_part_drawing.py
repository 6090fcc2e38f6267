"""How stretches of a long string are drawn: readable, special tokens dashed, and cut."""

import re
from collections.abc import Iterable, Sequence

from llmcourse import html
from llmcourse.show import visible

_SPECIAL = html.outlined("2px dashed")


def marked(segments: Iterable[tuple[str, str]], look: str = "", ids: Sequence[int] = ()) -> str:
    """Return a stretch with its special tokens marked, in a box if it has a look of its own.

    ids: of the special tokens, in their order, to be shown behind them.
    """
    numbers = iter(ids)
    inner = "".join(
        _special(text, next(numbers, None))
        if kind == "special"
        else html.escape(text).replace("⏎", "⏎<br>")
        for kind, text in segments
    )
    return html.mark(inner, look) if look else inner


def _special(text: str, token: int | None) -> str:
    number = "" if token is None else f" <small>{token}</small>"
    return html.mark(html.escape(text) + number, _SPECIAL)


def segments_of(part, longest: int, most: int) -> list[tuple[str, str]]:
    """Return ("text", "special" or "cut", readable text) for each piece of a part.

    part: it has a `text`, and as `special` where its special tokens are in it. longest: characters
    that are drawn; most: pieces.
    """
    shown, at = [], 0
    for left, right in (*part.special, (len(part.text), len(part.text))):
        if left > at:
            shown.append(("text", part.text[at:left]))
        if right > left:
            shown.append(("special", part.text[left:right]))
        at = max(at, right)
    cut, room = [], longest
    for kind, text in shown:
        if room <= 0 or len(cut) == most:
            break
        cut.append((kind, spaced(text[:room])))
        room -= len(text)
    left_out = len(part.text) - sum(len(text) for _, text in shown[: len(cut)]) + max(0, -room)
    return [*cut, ("cut", f" … {left_out:,} characters more …")] if left_out else cut


def spaced(text: str) -> str:
    """Return `text` with nothing invisible in it; single spaces between words stay spaces."""
    parts = re.split(r"(?<=[^\s]) (?=[^\s])", text)
    return " ".join(visible(part, None) for part in parts)
