"""The items that a model is asked: questions with choices, and tasks to write an answer for."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from llmcourse.quality.written import EXTRACTED, RULES
from llmcourse.show import plural, readable

# Those that ship with the course, a file each in `items/`; its README.md says how they were made.
KINDS = ("facts", "grammar", "continuation", "reading", "arithmetic", "instructions")


@dataclass(frozen=True)
class Item:
    """One thing to ask, and how its answer is checked."""

    id: str  # no other item of the file has it, such as "facts-07"
    kind: str  # what it is about, such as "facts"
    prompt: str  # all that the model reads before its answer; "" where whole sentences are scored
    choices: tuple[str, ...] = ()  # of which one is right; none where the model writes
    answer: int | tuple[str, ...] = ()  # the right choice's place, or the texts that are accepted
    rules: dict[str, Any] = field(default_factory=dict, hash=False)  # what `written.RULES` check
    extract: str = "text"  # what of a written text is compared, one of `written.EXTRACTED`
    source: str = ""  # where it is from

    def continuation(self, choice: str) -> str:
        """Return what follows the prompt if it goes on with `choice`: a space, and the choice."""
        return f" {choice}" if self.prompt and not self.prompt[-1].isspace() else choice

    @property
    def solution(self) -> str:
        """A right answer; "" where there are rules alone."""
        if self.choices:
            return self.choices[self.answer]
        return self.answer[0] if self.answer else ""


def read_items(path: str | Path | None = None, kinds: Iterable[str] | None = None) -> list[Item]:
    """Return the items of a JSONL file, or of the course, in their order.

    path: a file with one item, a JSON object, on each line; None for those of the course. kinds:
    which to keep; None for all. Raises ValueError for an item that is not whole (with its file,
    line and field), for one id twice, and for a kind of which there is no item.
    """
    sources = _lines_of_the_course() if path is None else _lines(Path(path).name, Path(path))
    items = [_item(line, where) for line, where in sources]
    seen: dict[str, str] = {}
    for item, (_, where) in zip(items, sources, strict=True):
        if item.id in seen:
            raise ValueError(f"{where}: the id {readable(item.id)!r} is that of {seen[item.id]}.")
        seen[item.id] = where
    if kinds is None:
        return items
    wanted, there = list(kinds), list(dict.fromkeys(item.kind for item in items))
    for kind in wanted:
        if kind not in there:
            known = ", ".join(map(readable, there)) or "no items"
            raise ValueError(f"kinds: there are no items of the kind {kind!r}; there are {known}.")
    return [item for item in items if item.kind in wanted]


def digest(items: Iterable[Item]) -> str:
    """Return a SHA-256 of all that the items say, so that a change in one is noticed."""
    said = json.dumps([asdict(item) for item in items], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _lines_of_the_course() -> list[tuple[str, str]]:
    folder = files("llmcourse.quality").joinpath("items")
    return [pair for kind in KINDS for pair in _lines(kind, folder.joinpath(f"{kind}.jsonl"))]


def _lines(name: str, file) -> list[tuple[str, str]]:
    """Return each line that is not empty, and where it stands."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{readable(name)} is not UTF-8 text; one JSON object a line.") from None
    return [
        (line, f"{readable(name)}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _item(line: str, where: str) -> Item:
    """Return the item of a line of JSON. Raises ValueError with `where` and the field."""
    try:
        given = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: no JSON: {error}") from None
    if not isinstance(given, dict):
        raise ValueError(f"{where}: an item is a JSON object, such as {{'id': 'a', ...}}.")
    for fault in _faults(given):
        raise ValueError(f"{where}, {fault}")
    choices, answer = tuple(given.get("choices", ())), given.get("answer", ())
    given |= {"choices": choices, "answer": answer if choices else tuple(answer)}
    return Item(**given)


def _faults(given: dict) -> Iterator[str]:
    """Yield what is wrong with an item, each with the name of its field."""
    for name in ("id", "kind", "prompt"):
        if name not in given:
            yield f"field {name!r}: it is missing."
    for name, (fits, what) in _FIELDS.items():
        if name in given and not fits(given[name]):
            yield f"field {name!r}: {readable(repr(given[name]), 60)} is no {what}."
    for name in given:
        if name not in _FIELDS:
            yield f"field {readable(name)!r} is not known; there are {', '.join(_FIELDS)}."
    choices, answer = given.get("choices", []), given.get("answer")
    if choices:
        yield from _faults_of_choices(choices, answer, given["prompt"])
    elif not isinstance(answer, list | None) or not (answer or given.get("rules")):
        yield "field 'answer': without choices it is a list of accepted texts, or there are rules."


def _faults_of_choices(choices: list[str], answer: Any, prompt: str) -> Iterator[str]:
    if len(choices) < 2 or len(set(choices)) < len(choices) or not all(choices):
        yield "field 'choices': it takes two or more different texts."
    if isinstance(answer, bool) or not isinstance(answer, int):
        yield "field 'answer': with choices it is the place of the right one, from 0 on."
    elif not 0 <= answer < len(choices):
        yield f"field 'answer': {answer} is no place among {plural(len(choices), 'choice')}."


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "id": (lambda value: _is_text(value) and bool(value), "text"),
    "kind": (lambda value: _is_text(value) and bool(value), "text"),
    "prompt": (_is_text, "text"),
    "choices": (_are_texts, "list of texts"),
    "answer": (lambda value: isinstance(value, int) or _are_texts(value), "place or list of texts"),
    "rules": (
        lambda value: isinstance(value, dict) and value.keys() <= RULES.keys(),
        f"object of rules, of which there are {', '.join(RULES)}",
    ),
    "extract": (lambda value: value in EXTRACTED, f"way to extract: {', '.join(EXTRACTED)}"),
    "source": (_is_text, "text"),
}
