"""The tables in benchmarks/README.md: each between its marks, made of what was measured."""

import re
from collections.abc import Callable
from pathlib import Path

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
