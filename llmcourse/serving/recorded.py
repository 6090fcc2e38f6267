"""Tables that a command measured once, on one machine: those of benchmarks/README.md, to be shown.

They are in the package, so that a lesson shows them where the repository is not: in Colab.
`python -m tools.recorded_runs` copies them.
"""

import json
import re
from functools import cache
from importlib.resources import files

from llmcourse.show import Table

FILE = "texts/recorded_runs.json"


def recorded(name: str, *columns: str, caption: str = "", table: int = 0) -> Table:
    """Return a recorded table of `name`, such as "exports"; its caption says where it was measured.

    columns: the headers of those to show, in this order; all without any. caption: stands before
    what is said of the machine. table: which one, where there are several. Raises LookupError for
    a name, a table or a column that was not recorded.
    """
    runs = _runs()
    if name not in runs:
        raise LookupError(f"{name!r} was not recorded; these were: {', '.join(runs)}.")
    if not runs[name]:
        return Table(f"{caption}: nothing was recorded yet", ["", ""], [])
    found = runs[name][table]
    headers = [_plain(header) for header in found["headers"]]
    if missing := set(columns) - set(headers):
        raise LookupError(f"{name} has no column {missing.pop()!r}; it has {', '.join(headers)}.")
    places = [headers.index(column) for column in columns or headers]
    rows = [[_plain(row[place]) for place in places] for row in found["rows"]]
    said = ". ".join(filter(None, [caption, _plain(found["said"])]))
    return Table(said, [headers[place] for place in places], rows, longest=None)


@cache
def _runs() -> dict[str, list[dict]]:
    return json.loads((files("llmcourse") / FILE).read_text(encoding="utf-8"))


def _plain(markdown: str) -> str:
    """Return a line of markdown without its links to files of results, its marks and its bars."""
    text = re.sub(r";? *\[`[^`]*`\]\([^)]*\)", "", markdown)
    return re.sub(r"[`*]", "", text).replace(r"\|", "|").strip()
