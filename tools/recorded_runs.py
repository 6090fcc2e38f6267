"""Copy what lessons 10 and 11 show of the benchmarks' results into the package.

    python -m tools.recorded_runs     # or `make docs`, after a benchmark wrote its results

Lessons run where the repository is not. A test asks that each copy is what the results say.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.readme import README, RESULTS, marks
from llmcourse.serving.recorded import FILE
from tools.lesson import ROOT

TEXTS = ROOT / "llmcourse" / "texts"
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


def harness() -> str:
    """Return, as JSON, what lm-evaluation-harness found for the facts, asked as they are.

    Raises ValueError unless there is one result.
    """
    known = _only("lm-eval")
    facts = {
        one["id"]: one["theirs"]
        for one in known["compared"]
        if (one["kind"], one["variant"]) == ("facts", "zero-shot")
    }
    kept = {name: known[name] for name in ("lm_eval", "date", "task")}
    return json.dumps(kept | {"facts": facts}) + "\n"


def board() -> str:
    """Return, as JSON, the whole leaderboard, without what was written and each log-likelihood.

    Raises ValueError unless there is one result.
    """
    known = _only("leaderboard")
    for standing in known["standings"]:
        standing["answers"] = [
            {name: answer[name] for name in ("id", "kind", "right")}
            for answer in standing["answers"]
        ]
    return json.dumps(known) + "\n"


def _only(name: str) -> dict:
    [file] = RESULTS.glob(f"{name}-*.json")
    return json.loads(file.read_text(encoding="utf-8"))


COPIES: dict[Path, Callable[[], str]] = {
    COPY: made,
    TEXTS / "harness.json": harness,
    TEXTS / "leaderboard.json": board,
}


def main() -> int:
    for file, copied in COPIES.items():
        file.write_text(copied(), encoding="utf-8")
        print(file.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
