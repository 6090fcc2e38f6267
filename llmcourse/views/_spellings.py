"""How a template may have written what it was given: as JSON, as Python, under another label."""

import json
import re
from collections.abc import Iterator

_SHORTEST = 8  # characters of a description that is looked for; a shorter one may stand anywhere


def same_start(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their start."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def cut_around(text: str, words: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (piece, why) of a text cut around whole words; why is "" between them."""
    longest_first = sorted(words, key=len, reverse=True)
    pattern = "|".join(rf"(?<!\w){re.escape(one)}(?!\w)" for one in longest_first)
    for number, piece in enumerate(re.split(f"({pattern})", text) if words else [text]):
        if piece:
            yield piece, words[piece] if number % 2 else ""


def spellings(thing) -> list[str]:
    """Return how templates write something: as it is, as JSON, as Python."""
    if isinstance(thing, str):
        return list(dict.fromkeys([thing, thing.strip(), json.dumps(thing, ensure_ascii=False)]))
    things = [thing]
    if isinstance(thing, dict) and isinstance(thing.get("function"), dict):
        things.append(thing["function"])
    try:
        made = [
            json.dumps(one, ensure_ascii=ascii, indent=indent)
            for one in things
            for indent in (None, 4, 2)
            for ascii in (False, True)
        ]
    except (TypeError, ValueError):  # not JSON
        made = []
    return list(dict.fromkeys([*made, *map(str, things)]))


def descriptions(schema) -> Iterator[str]:
    """Yield the descriptions in a tool's schema, however deep."""
    todo = [schema]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            said = one.get("description")
            if isinstance(said, str) and len(said) >= _SHORTEST:
                yield said
            todo += one.values()
        elif isinstance(one, list):
            todo += one


def another_label(label: str) -> str:
    """Return another label of the same length, which has no letter in common with it in place."""
    return "".join(
        ("1" if letter == "0" else "0") if letter.isdigit() else ("b" if letter == "a" else "a")
        for letter in label
    )
