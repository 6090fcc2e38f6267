"""`doctor --fix`: a finding's fix as a change of the script, where it is one argument of its call.

A call of `generate`, or the tokenizer's call that made its inputs, gets a keyword, or another value
for one that it has. Findings whose fix is more than that are left to the reader, and so are notes.
"""

import ast
import difflib
import re
import tokenize
from collections.abc import Iterable
from pathlib import Path

from llmcourse.doctor.finding import NOTE, Finding
from llmcourse.doctor.own_names import call_at, tokenizer_call
from llmcourse.doctor.static import Text
from llmcourse.doctor.static.reading.source import Source, name_of

_ELSE = re.compile(r",\s*\.\.\.(?=\s*\))|\.\.\.\s*,\s*")  # `...`: the arguments that are there
# A keyword that says the same in another way, and has to go.
_IN_PLACE_OF = {"max_new_tokens": "max_length"}


class NoChange(ValueError):
    """A file that cannot be changed."""


def fixed(file: str, findings: Iterable[Finding]) -> tuple[str, str]:
    """Return a script as it is, and with the fixes of its findings that are one argument.

    Raises NoChange for a notebook.
    """
    if Path(file).suffix != ".py":
        raise NoChange(f"--fix changes scripts (.py), and {file} is none.")
    before = _read(file)
    source, lines = Source(before), before.split("\n")
    text = Text(lines, [(file, number) for number, _ in enumerate(lines, 1)])
    changes: dict[ast.Call, dict[str, str]] = {}
    for one in findings:
        if one.severity == NOTE:
            continue
        found = change_of(source, text, one)
        if found is not None:
            call, name, value = found
            changes.setdefault(call, {}).setdefault(name, value)
    after = before
    for call in sorted(changes, key=lambda call: (call.lineno, call.col_offset), reverse=True):
        after = _changed(after, call, changes[call])
    return before, after


def diff(file: str, before: str, after: str) -> list[str]:
    """Return what changes as the lines of a unified diff, which `patch` takes."""
    texts = [text.splitlines() for text in (before, after)]
    return list(difflib.unified_diff(*texts, fromfile=file, tofile=file, lineterm=""))


def write(file: str, after: str) -> None:
    """Write a script in the encoding that it had."""
    with open(file, "rb") as opened:
        encoding, _ = tokenize.detect_encoding(opened.readline)
    Path(file).write_bytes(after.encode(encoding))


def _read(file: str) -> str:
    """Return a script's text, its line ends as they are."""
    with open(file, "rb") as opened:
        encoding, _ = tokenize.detect_encoding(opened.readline)
    return Path(file).read_bytes().decode(encoding)


def change_of(source: Source, text: Text, found: Finding) -> tuple[ast.Call, str, str] | None:
    """Return (call, keyword, value) if a finding's fix is one argument of its call, else None."""
    asked, call = _call_in(found.fix), call_at(source, text, found)
    if asked is None or call is None:
        return None
    if name_of(asked) != name_of(call):
        call = tokenizer_call(source, call) if name_of(call) == "generate" else None
        if call is None or name_of(asked) != name_of(call):
            return None
    there = {each.arg: ast.unparse(each.value) for each in call.keywords}
    wanted = {each.arg: ast.unparse(each.value) for each in asked.keywords if each.arg}
    new = {
        name: value
        for name, value in wanted.items()
        if there.get(name) != value or _IN_PLACE_OF.get(name, "") in there
    }
    if len(new) != 1 or any(isinstance(each, ast.Starred) for each in call.args):
        return None
    ((name, value),) = new.items()
    return call, name, value


def _call_in(fix: str) -> ast.Call | None:
    """Return the call that a fix writes, without `...` in it; None where it is something else."""
    try:
        (statement,) = ast.parse(_ELSE.sub("", fix)).body
    except (SyntaxError, ValueError):
        return None
    value = getattr(statement, "value", None)
    return value if isinstance(value, ast.Call) else None


def _changed(text: str, call: ast.Call, keywords: dict[str, str]) -> str:
    """Return a text with keywords added to a call in it, or their values changed.

    It stays as it is where that would be no Python.
    """
    raw = text.encode()
    edits = []
    for name, value in keywords.items():
        old = _keyword(call, name) or _keyword(call, _IN_PLACE_OF.get(name))
        if old is not None:
            edits.append((_start(raw, old), _end(raw, old), f"{name}={value}"))
            other = _keyword(call, _IN_PLACE_OF.get(name))
            if other not in (None, old):
                edits.append((*_with_comma(raw, call, other), ""))
            continue
        parts = [*call.args, *call.keywords]
        at = max((_end(raw, part) for part in parts), default=_end(raw, call) - 1)
        edits.append((at, at, f"{', ' if parts else ''}{name}={value}"))
    for start, end, words in sorted(edits, reverse=True):
        raw = raw[:start] + words.encode() + raw[end:]
    try:
        ast.parse(raw)
    except SyntaxError:
        return text
    return raw.decode()


def _keyword(call: ast.Call, name: str | None) -> ast.keyword | None:
    return next((each for each in call.keywords if name is not None and each.arg == name), None)


def _with_comma(raw: bytes, call: ast.Call, keyword: ast.keyword) -> tuple[int, int]:
    """Return where a keyword begins and ends, with the comma between it and its neighbour."""
    start, end = _start(raw, keyword), _end(raw, keyword)
    others = [part for part in (*call.args, *call.keywords) if part is not keyword]
    before = [_end(raw, part) for part in others if _end(raw, part) <= start]
    after = [_start(raw, part) for part in others if _start(raw, part) >= end]
    return (max(before), end) if before else (start, min(after, default=end))


def _start(raw: bytes, node: ast.AST) -> int:
    return _offset(raw, node.lineno, node.col_offset)


def _end(raw: bytes, node: ast.AST) -> int:
    return _offset(raw, node.end_lineno, node.end_col_offset)


def _offset(raw: bytes, line: int, column: int) -> int:
    """Return where a line's column lies, in bytes; lines from 1, as ast counts them."""
    return sum(len(each) + 1 for each in raw.split(b"\n")[: line - 1]) + column
