"""What is found in a script or notebook without running it: `doctor --static`.

The checks stand in rooms by subject, folders whose first line says what belongs there; `reading`
has what they are built of. A new check is a function with `@in_the_source` above it in a module of
its room. IN_THE_SOURCE has them all, by code.
"""

import ast
import contextlib
import re
import tokenize
from dataclasses import dataclass, replace
from pathlib import Path

from llmcourse.doctor.finding import Finding, in_order
from llmcourse.doctor.notebook import code_cells
from llmcourse.doctor.static import (
    answers,
    calls,
    loops,
    models,
    prompts,
    rules,
    sampling,
    scores,
    stopping,
)
from llmcourse.doctor.static.order import place_of
from llmcourse.doctor.static.reading.registry import InTheSource
from llmcourse.doctor.static.reading.source import Source
from llmcourse.show import in_words

_ROOMS = (answers, calls, loops, models, prompts, rules, sampling, scores, stopping)
IN_THE_SOURCE: dict[str, InTheSource] = {
    known.code: known
    for known in sorted(
        (
            known
            for room in _ROOMS
            for module in room.MODULES
            for known in vars(module).values()
            if isinstance(known, InTheSource)
        ),
        key=lambda known: place_of(known.code),
    )
}
_ASSIGNED = re.compile(r"^(\s*\w+\s*=\s*)[!%].*")  # files = !ls
# Cells of these kinds hold Python; those of others (%%bash, %%html) hold none.
_PYTHON = ("%%time", "%%timeit", "%%capture", "%%doctor")


@dataclass(frozen=True)
class Text:
    """A file's Python, as one text."""

    lines: list[str]
    places: list[tuple[str, int]]  # of each line: its file, or a notebook's `path:cell`, and line


def look(file: str, failures: list[str] | None = None) -> list[Finding]:
    """Return what the source of a script or notebook shows: the gravest first, then by line.

    failures: gets a sentence for each check that fails; None: its error is raised. Raises
    SyntaxError where it is no Python, OSError or ValueError where it cannot be read.
    """
    return look_at(*parsed(file), failures)


def parsed(file: str) -> tuple[Source, Text]:
    """Return a script's or notebook's source, parsed; raises what `look` does."""
    text = read(file)
    return Source("\n".join(text.lines)), text


def look_at(source: Source, text: Text, failures: list[str] | None = None) -> list[Finding]:
    """Return what a parsed source shows, as `look` does."""
    every: list[Finding] = []
    for code, check in IN_THE_SOURCE.items():
        try:
            every += check(source)
        except Exception as error:  # one check's, and no reason to drop the others
            if failures is None:
                raise
            failures.append(f"the source for {code}: {in_words(error)}")
    every.sort(key=lambda one: one.line)
    return list(in_order(_placed(one, text) for one in every))


def _placed(found: Finding, text: Text) -> Finding:
    file, line = text.places[found.line - 1]
    return replace(found, file=file, line=line)


def read(file: str) -> Text:
    """Return the Python in a script or notebook; a notebook's cells follow one another."""
    path = Path(file)
    if path.suffix != ".ipynb":
        with tokenize.open(path) as opened:  # in the encoding that the file names
            lines = opened.read().split("\n")
        return Text(lines, [(file, number) for number, _ in enumerate(lines, 1)])
    text = Text([], [])
    for number, (source, _) in enumerate(code_cells(path), 1):
        try:
            lines = python_of(source).split("\n")
        except SyntaxError as error:
            raise SyntaxError(f"cell {number}: {error}") from None
        text.lines.extend(lines)
        text.places.extend((f"{file}:{number}", place) for place, _ in enumerate(lines, 1))
    return text


def python_of(cell: str) -> str:
    """Return a cell with `pass` for what is not Python: its magics, and the shell's lines.

    Raises SyntaxError where the rest is none either.
    """
    first = cell.split(maxsplit=1)[0] if cell.startswith("%%") else None
    lines = cell.split("\n")
    if first is not None and first not in _PYTHON:
        return "\n".join("pass" for _ in lines)
    with contextlib.suppress(SyntaxError):
        ast.parse(cell)
        return cell
    python = "\n".join(map(_python_line, lines))
    ast.parse(python)
    return python


def _python_line(line: str) -> str:
    line = _ASSIGNED.sub(r"\1None", line)
    bare = line.lstrip()
    magic = bare.startswith(("%", "!", "?")) or (bare.endswith("?") and "#" not in bare)
    return line[: len(line) - len(bare)] + "pass" if magic else line
