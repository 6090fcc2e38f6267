"""Copy the tables of benchmarks/README.md that lesson 11 shows into the package.

    python -m tools.recorded_runs     # or `make docs`, after a benchmark wrote its tables

The lesson runs where the repository is not. A test asks that the copy is what the README says.
"""

import json
import re
import sys
from pathlib import Path

from benchmarks.readme import README, marks
from llmcourse.serving.recorded import FILE
from tools.lesson import ROOT

COPY = ROOT / "llmcourse" / FILE
NAMES = ("serving", "exports", "scaling")  # of the marks in the README
ROW = re.compile(r"(?<!\\)\|")


def tables(text: str, name: str) -> list[dict]:
    """Return the tables between a program's marks: what is said before each, headers and rows.

    Each is a paragraph, an empty line, and a table of markdown. Raises LookupError without marks.
    """
    part = marks(name).search(text)
    if part is None:
        raise LookupError(f"the README has no tables of {name!r}")
    found, said = [], ""
    for block in part[0].split("\n\n"):
        lines = block.strip().splitlines()
        if lines and lines[0].startswith("|"):
            headers, _, *rows = map(cells, lines)
            found.append({"said": said, "headers": headers, "rows": rows})
        elif lines:
            said = " ".join(lines)
    return found


def cells(line: str) -> list[str]:
    """Return the cells of a row of markdown; a bar behind a backslash divides nothing."""
    return [cell.strip() for cell in ROW.split(line)[1:-1]]


def made(readme: Path = README) -> str:
    """Return what the copy should hold."""
    text = readme.read_text(encoding="utf-8")
    runs = {name: tables(text, name) if marks(name).search(text) else [] for name in NAMES}
    return json.dumps(runs, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    COPY.write_text(made(), encoding="utf-8")
    print(f"{COPY.relative_to(ROOT)}: {', '.join(json.loads(made()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
