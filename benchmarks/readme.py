"""The tables in benchmarks/README.md: each between its marks, made of what was measured."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from llmcourse.measure.report import read_json

Row = TypeVar("Row")

README = Path(__file__).resolve().parent / "README.md"
RESULTS = README.parent / "results"


def marks(name: str) -> re.Pattern:
    """Return what finds the tables of one program, with the marks around them."""
    return re.compile(rf"(<!-- {name}: made by [^>]*-->\n).*?(<!-- end -->)", re.S)


def written(text: str, name: str, results: Path, page: Callable[[Path], str], nothing: str) -> str:
    """Return the README's text with the tables of a program's results between its marks.

    page: makes the tables of one file of results, `<name>-<machine>.json`. nothing: what stands
    there while there is none.
    """
    tables = "\n\n".join(page(path) for path in sorted(results.glob(f"{name}-*.json"))) or nothing
    return marks(name).sub(lambda found: f"{found[1]}\n{tables}\n\n{found[2]}", text)


def read_rows(
    path: Path, what: str, schema: int, row: Callable[..., Row]
) -> tuple[dict, list[Row]]:
    """Return what a file of results says of its run, and its rows, made by `row` of their fields.

    what: the file should be. Raises ValueError for others, as `read_json` does.
    """
    return read_json(
        path, what, schema, lambda made: (made, [row(**one) for one in made.pop("rows")])
    )
