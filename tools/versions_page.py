"""Make docs/versions.md from what the lanes wrote: which versions were run, and what differed.

    python -m tools.versions_page     # or `make docs`

`make test-oldest`, `make colab` and `make test-newest` write tests/lessons/results/.
"""

import json
from pathlib import Path

from tools import colab, known_differences

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "versions.md"
RESULTS = known_differences.LESSONS / "results"
SHOWN = ("python", "torch", "transformers", "tokenizers", "numpy")
LANES = {  # in the order of the page: what a lane runs on
    "oldest": "the oldest that `pyproject.toml` admits, `make test-oldest`",
    "colab": "what Colab holds, `make colab`",
    "newest": "the newest that `pyproject.toml` admits, `make test-newest`",
}

TOP = """\
<!-- Made by `make docs` from tests/lessons/results/ and differences.toml: change it there. -->

# Versions

The outputs that are stored in the lessons were printed by the versions in \
[`constraints.txt`](../constraints.txt): torch {torch}, transformers {transformers}. `make test` \
runs them again on these and compares every output. Below is what came of the lessons and the \
gallery on others, all on a CPU.
"""

COLAB = """\
## Where Colab's versions are from

[`tests/lessons/colab.txt`]({file}) has, of [what Colab publishes]({source}), the packages that \
matter here, as of {date} (commit {commit:.7}), with Python {python}. `make colab` clones what is \
committed, runs the first cell of a lesson in a folder without the repository, and asks that \
installing the course replaces none of them. Colab itself was not run.
"""


def pinned() -> dict[str, str]:
    """Return {name: version} of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.split(" ; ")[0] for line in lines if not line.startswith("#"))
    return dict(pin.split("==") for pin in pins)


def page() -> str:
    """Return docs/versions.md."""
    made = {lane: read(lane) for lane in LANES}
    ran = {lane: result for lane, result in made.items() if result}
    head = "| Run on | " + " | ".join(name.capitalize() for name in SHOWN) + " | When | Cells | "
    rows = [f"{head}Differ | Fail |", "|---" * (len(SHOWN) + 5) + "|"]
    rows += [_row(lane, result) for lane, result in ran.items()]
    lists = [_differences(lane, result) for lane, result in ran.items()]
    held = COLAB.format(file="../tests/lessons/colab.txt", **colab.facts())
    parts = [TOP.format(**pinned()), "\n".join(rows) + "\n", *lists, held]
    return "\n".join(parts)


def read(lane: str) -> dict | None:
    """Return what a lane wrote, None if it was never run."""
    file = RESULTS / f"{lane}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def _row(lane: str, result: dict) -> str:
    notebooks = result["notebooks"].values()
    versions = (result["packages"].get(name, "") for name in SHOWN)
    cells = sum(one["cells"] for one in notebooks)
    differ, failed = (sum(len(one[kind]) for one in notebooks) for kind in ("differ", "failed"))
    return (
        "| "
        + " | ".join([LANES[lane], *versions, result["date"], str(cells)])
        + (f" | {differ or 'none'} | {failed or 'none'} |")
    )


def _differences(lane: str, result: dict) -> str:
    """Return the section of a lane: the cells that differ and why, or that there are none."""
    reasons = known_differences.known(lane)
    lines = []
    for notebook, one in result["notebooks"].items():
        link = f"[{notebook}](../notebooks/{notebook}.ipynb)"
        lines += [
            f"- {link}, cell `{cell}`: {reasons.get((notebook, cell), 'no reason is known.')}"
            for cell in one["differ"]
        ]
        lines += [f"- {link}, cell `{cell}` fails." for cell in one["failed"]]
    heading = f"## On {LANES[lane].split(', ')[0]}"
    return "\n".join([heading, "", *(lines or ["Every cell prints what is stored."])]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Wrote {PAGE.name}.")
