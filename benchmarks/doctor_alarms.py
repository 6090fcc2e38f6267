"""How often each of the doctor's codes speaks where nothing is wrong: in the course itself.

    python -m benchmarks.doctor_alarms            every lesson, with the README and the pages
    python -m benchmarks.doctor_alarms 01 gallery these lessons, shown alone
    python -m benchmarks.doctor_alarms --page     measure nothing: write docs/doctor.md

Each lesson runs under `python -m llmcourse doctor`, one at a time, with one thread: half an hour.
The Python in README.md and docs/ is read alone. Lessons make mistakes on purpose: which, and in
which lesson, stands in doctor_alarms.toml, after a look at each. Beside it the table has the sound
scripts of the field corpus, as `benchmarks.doctor_field` counted them.
"""

import argparse
import ast
import json
import re
import time
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks import readme
from benchmarks.doctor_field import examine
from llmcourse.doctor.explain import every_code
from llmcourse.doctor.finding import SEVERITIES
from llmcourse.doctor.static import IN_THE_SOURCE
from llmcourse.doctor.static.reading.source import Source
from llmcourse.measure.machine import describe_machine, machine_name
from tools.field import Case

SCHEMA = "llmcourse.doctor-alarms/1"
ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "doctor.md"
ON_PURPOSE = Path(__file__).with_suffix(".toml")
NOTHING = "Nothing has been measured yet."
PATIENCE = 1200  # seconds that a lesson gets
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def of_lesson(path: Path) -> dict:
    """Return what the doctor finds in a lesson that runs: [code, severity, cell, line] each."""
    case = Case(path.stem, path, "", "", "", faulty=False)
    report = examine(case, patience=PATIENCE)
    findings = [
        [one["code"], one["severity"], (one["file"] or "").rpartition(":")[2], one["line"]]
        for one in report.findings
    ]
    return {"findings": findings, "failed": report.failed, "fault": report.fault}


def of_pages(pages: list[Path]) -> dict:
    """Return how many blocks of Python the pages have, and what their source shows."""
    blocks = [block for page in pages for block in _PYTHON.findall(page.read_text("utf-8"))]
    sources = [Source(block) for block in blocks if _parses(block)]
    found = [one for source in sources for check in IN_THE_SOURCE.values() for one in check(source)]
    return {"blocks": len(sources), "findings": [[one.code, one.severity] for one in found]}


def _parses(block: str) -> bool:
    try:
        ast.parse(block)
    except SyntaxError:
        return False
    return True


def by_code(lessons: dict[str, dict], shown: dict[str, list[str]]) -> dict[str, Counter]:
    """Return for each code in how many lessons it speaks, by severity, or "on purpose".

    shown: the codes of what each lesson shows on purpose. A lesson counts once for a code, with the
    gravest of its findings; notes are never on purpose.
    """
    counts: dict[str, Counter] = defaultdict(Counter)
    for name, lesson in lessons.items():
        for code in dict.fromkeys(code for code, *_ in lesson["findings"]):
            grades = [severity for one, severity, *_ in lesson["findings"] if one == code]
            gravest = min(grades, key=SEVERITIES.index)
            meant = code in shown.get(name, ()) and gravest != "note"
            counts[code]["on purpose" if meant else gravest] += 1
    return dict(counts)


def on_purpose() -> dict[str, list[str]]:
    """Return the codes of the mistakes that each lesson makes on purpose, by its file's name."""
    made = tomllib.loads(ON_PURPOSE.read_text(encoding="utf-8"))
    return {name: list(reasons) for name, reasons in made.items()}


def measured(paths: list[Path]) -> dict:
    """Run lessons, and read the pages; it is shown what came of each."""
    lessons = {}
    for path in paths:
        lessons[path.stem] = of_lesson(path)
        print(path.stem, json.dumps(lessons[path.stem]), flush=True)
    pages = of_pages([ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
    machine = describe_machine()
    made = {"schema": SCHEMA, "machine": machine, "date": time.strftime("%Y-%m-%d")}
    return made | {"codes": len(known_codes()), "lessons": lessons, "pages": pages}


def page(path: Path) -> str:
    """Return a file of results as a table for docs/doctor.md, beside the field's of its machine."""
    made = json.loads(path.read_text(encoding="utf-8"))
    sound, scripts = of_sound_scripts(path)
    lessons = by_code(made["lessons"], on_purpose())
    rows = []
    for code in sorted(code for code in known_codes() if code in sound or code in lessons):
        of_scripts, of_lessons = sound.get(code, {}), lessons.get(code, {})
        cells = [of_scripts.get(severity, 0) for severity in SEVERITIES]
        cells += [of_lessons.get(grade, 0) for grade in ("on purpose", *SEVERITIES)]
        rows.append(f"| [{code}](pitfalls.md#{code}) | {' | '.join(map(str, cells))} |")
    head = ["code", "scripts: error", "warning", "note"]
    head += ["lessons: on purpose", "error", "warning", "note"]
    rows = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *rows]
    said = (
        f"In how many of {scripts} sound scripts and {len(made['lessons'])} lessons a code speaks; "
        f"the other {made['codes'] - len(rows) + 2} codes are silent in all of them. In the "
        f"source of {made['pages']['blocks']} blocks of Python in README.md and docs/: "
        f"{len(made['pages']['findings'])} findings. {made['date']}; "
        f"[`{path.name}`](../benchmarks/{path.parent.name}/{path.name})."
    )
    return said + "\n\n" + "\n".join(rows)


def of_sound_scripts(path: Path) -> tuple[dict[str, dict[str, int]], int]:
    """Return what the field's sound scripts got, by code, on the same machine; and their number."""
    field = path.with_name(path.name.replace("doctor-alarms", "doctor-field"))
    if not field.exists():
        return {}, 0
    of_field = json.loads(field.read_text(encoding="utf-8"))["parts"]["all"]
    return of_field.get("sound_by_code", {}), of_field["false_alarms"]["of"]


def known_codes() -> list[str]:
    """Return the doctor's codes."""
    return list(every_code())


def written(text: str, results: Path) -> str:
    """Return the text of docs/doctor.md with the table of all results between its marks."""
    return readme.written(text, "doctor-alarms", results, page, NOTHING)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="their files' beginnings; default: all")
    parser.add_argument("--out", type=Path, help="results/doctor-alarms-<machine>.json")
    parser.add_argument("--page", action="store_true", help="write docs/doctor.md alone")
    options = parser.parse_args()
    if not options.page:
        paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
        wanted = tuple(options.lessons)
        made = measured([path for path in paths if not wanted or path.name.startswith(wanted)])
        name = f"doctor-alarms-{machine_name(made['machine'])}.json"
        out = options.out or (None if wanted else readme.RESULTS / name)
        if out:
            out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(written(PAGE.read_text("utf-8"), readme.RESULTS), encoding="utf-8")


if __name__ == "__main__":
    main()
