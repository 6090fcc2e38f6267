"""Findings as SARIF 2.1.0, which code hosts show beside the lines.

Source: the OASIS standard, https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import llmcourse
from llmcourse.doctor.explain import every_code, section
from llmcourse.doctor.finding import Finding
from llmcourse.show import printable

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LONGEST = 600  # characters of a sentence that are shown


def as_sarif(visits: Iterable) -> str:
    """Return what was found in files, visited one after another, as one run; in ASCII."""
    visits = list(visits)
    codes = list(every_code())
    results = [
        _result(found, visited.file, codes) for visited in visits for found in visited.findings
    ]
    driver = {
        "name": "llmcourse doctor",
        "version": llmcourse.__version__,
        "rules": [_rule(known) for known in every_code().values()],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(visited) for visited in visits],
        "results": results,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(known) -> dict[str, Any]:
    """Return what is known of a code: SARIF's levels have the names of the doctor's severities."""
    words = section(known)
    return {
        "id": known.code,
        "shortDescription": {"text": " ".join(known.symptom.split())},
        "fullDescription": {"text": " ".join(known.cause.split())},
        "help": {"text": words, "markdown": words},
        "defaultConfiguration": {"level": known.severities[0]},
    }


def _invocation(visited) -> dict[str, Any]:
    """Return whether a file was looked at to its end, and what could not be."""
    fault = visited.failed or visited.doctor_failed
    sentences = [*visited.failures, *([] if fault is None else [fault])]
    return {
        "executionSuccessful": fault is None,
        "exitCode": visited.status(),
        "toolExecutionNotifications": [
            {"level": "error", "message": {"text": printable(f"{visited.file}: {one}", _LONGEST)}}
            for one in sentences
        ],
    }


def _result(found: Finding, file: str, codes: list[str]) -> dict[str, Any]:
    path, cell = _path_and_cell(found.file or file)
    line = found.line or 1
    where = "" if cell is None else f"Cell {cell}, line {line}: "
    said = f"{where}{found.what} {found.why} Fix: {found.fix}"
    in_file = line if cell is None else _line_in_notebook(path, cell, line)
    place = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(path)},
            "region": {"startLine": in_file},
        }
    }
    if cell is not None:
        name = f"cell {cell}, line {line}"
        place["logicalLocations"] = [{"fullyQualifiedName": name}]
    return {
        "ruleId": found.code,
        "ruleIndex": codes.index(found.code),
        "level": found.severity,
        "message": {"text": printable(said, 3 * _LONGEST)},
        "locations": [place],
        "occurrenceCount": found.count,
        "properties": {"confidence": found.confidence},
    }


def _path_and_cell(file: str) -> tuple[Path, int | None]:
    """Return a file, and of a notebook's `path:cell` the cell too."""
    path, colon, cell = file.rpartition(":")
    if colon and cell.isdecimal() and path.endswith(".ipynb"):
        return Path(path), int(cell)
    return Path(file), None


def _uri(path: Path) -> str:
    """Return a path as seen from the working folder, or an absolute address, if outside."""
    whole = Path(os.path.abspath(path))
    if whole.is_relative_to(Path.cwd()):
        return quote(whole.relative_to(Path.cwd()).as_posix())
    return whole.as_uri()


def _line_in_notebook(path: Path, cell: int, line: int) -> int:
    """Return the line of a notebook's own file that holds a line of a cell; 1 if it is not found.

    cell: from 1, code cells alone. A notebook as Jupyter writes it has a line for each.
    """
    try:
        text = path.read_text(encoding="utf-8")
        cells = [one for one in json.loads(text)["cells"] if one["cell_type"] == "code"]
        at = 0
        for one in cells[: cell - 1]:
            at = _after(text, one["source"], at)
        at = _after(text, cells[cell - 1]["source"][: line - 1], at)
        return (
            text.count("\n", 0, text.index(_written(cells[cell - 1]["source"][line - 1]), at)) + 1
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return 1


def _after(text: str, source: list[str], at: int) -> int:
    """Return where, from `at` on, the lines of a cell have ended in a notebook's text."""
    for line in source:
        written = _written(line)
        at = text.index(written, at) + len(written)
    return at


def _written(line: str) -> str:
    """Return a line as Jupyter writes it: JSON, in UTF-8."""
    return json.dumps(line, ensure_ascii=False)
