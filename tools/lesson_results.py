"""Put what lesson 10 shows of the benchmarks' results into the package: not all who read it have a
checkout.

    python -m tools.lesson_results      after `make lm-eval`, or a leaderboard, was run again
"""

import json
from dataclasses import replace
from pathlib import Path

from llmcourse import leaderboard
from tools.lesson import ROOT

RESULTS = ROOT / "benchmarks" / "results"
TEXTS = ROOT / "llmcourse" / "texts"


def result(beginning: str) -> Path:
    """Return the result whose name begins so. Raises ValueError unless there is one."""
    [found] = sorted(RESULTS.glob(f"{beginning}-*.json"))
    return found


def harness() -> str:
    """Return, as JSON, what lm-evaluation-harness found for the facts, asked as they are."""
    known = json.loads(result("lm-eval").read_text(encoding="utf-8"))
    facts = {
        one["id"]: one["theirs"]
        for one in known["compared"]
        if (one["kind"], one["variant"]) == ("facts", "zero-shot")
    }
    kept = {name: known[name] for name in ("lm_eval", "date", "task")}
    return json.dumps(kept | {"facts": facts}) + "\n"


def board() -> str:
    """Return, as JSON, the leaderboard without what was written or chosen: right or not alone."""
    known = leaderboard.read(result("leaderboard"))
    standings = tuple(
        replace(one, answers=tuple({name: answer[name] for name in ("id", "kind", "right")} for answer in one.answers))
        for one in known.standings
    )
    return replace(known, standings=standings).to_json()


KEPT = {"harness.json": harness, "leaderboard.json": board}


def main() -> None:
    for name, made in KEPT.items():
        (TEXTS / name).write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    main()
