"""What is said of a run over the field corpus: recall by cause, false alarms, a table, a page."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import readme
from llmcourse.doctor.finding import ERROR, SEVERITIES, WARNING, Finding
from llmcourse.quality import proportion
from llmcourse.show import Table
from tools.field import SPLITS, Case

SCHEMA = "llmcourse.doctor-field/1"
NOTHING = "Nothing has been measured yet."
# A row of the table: its name, and the figure.
ROWS = {
    "found by cause": "recall",
    "... as an error or a warning": "recall_as_error_or_warning",
    "... of causes on none of our lists": "recall_of_causes_on_no_list",
    "... where a code existed at the split": "recall_where_a_code_existed",
    "... where none did": "recall_where_no_code_existed",
    "sound scripts with an error or a warning": "false_alarms",
}


@dataclass(frozen=True)
class Report:
    """What the doctor said about a script."""

    id: str  # the case's
    findings: tuple[dict, ...] = ()  # as the doctor's JSON has them
    failed: str | None = None  # why the script failed, or None
    fault: str | None = None  # what went wrong with the doctor: it crashed, it hung; or None
    seconds: float = 0.0  # the time that it took, with Python's start and the model's loading

    def names_cause(self, case: Case, severities: tuple[str, ...] = ()) -> bool:
        """Return whether a finding names the case's cause, one of some severities if given."""
        return any(
            case.named_by(Finding.from_dict(found))
            for found in self.findings
            if not severities or found["severity"] in severities
        )

    def alarms(self) -> set[str]:
        """Return the codes of the findings that are errors or warnings."""
        grave = (ERROR, WARNING)
        return {found["code"] for found in self.findings if found["severity"] in grave}

    def gravest(self) -> dict[str, str]:
        """Return the gravest severity of each code."""
        said: dict[str, str] = {}
        for severity in SEVERITIES:
            for found in self.findings:
                if found["severity"] == severity:
                    said.setdefault(found["code"], severity)
        return said


def wilson(found: int, of: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927): of none, all from 0 to 1."""
    if of == 0:
        return 0.0, 1.0
    known = proportion(found, of)
    return known.low, known.high


def share(found: Iterable[bool]) -> dict:
    """Return a share with its number of cases and its interval in percent, as plain values."""
    found = list(found)
    low, high = wilson(sum(found), len(found))
    interval = [round(100 * low, 1), round(100 * high, 1)]
    return {"found": sum(found), "of": len(found), "interval": interval}


def in_words(value: dict) -> str:
    """Return a share as `7 of 9, 78% (45 to 94)`."""
    if value["of"] == 0:
        return "none"
    low, high = value["interval"]
    percent = 100 * value["found"] / value["of"]
    return f"{value['found']} of {value['of']}, {percent:.0f}% ({low:.0f} to {high:.0f})"


def figures(cases: Iterable[Case], reports: dict[str, Report]) -> dict[str, dict]:
    """Return the figures of each part of the corpus that is there, and those of all."""
    cases = [case for case in cases if case.id in reports]
    parts = {split: [case for case in cases if case.split == split] for split in SPLITS}
    parts = {split: part for split, part in parts.items() if part}
    if len(parts) > 1:
        parts["all"] = cases
    return {name: _figures(part, reports) for name, part in parts.items()}


def _figures(cases: list[Case], reports: dict[str, Report]) -> dict:
    faulty = [case for case in cases if case.faulty]
    sound = [reports[case.id] for case in cases if not case.faulty]

    def recall(counts: Callable[[Case], bool] = lambda case: True) -> dict:
        return share(reports[case.id].names_cause(case) for case in faulty if counts(case))

    gravely = (reports[case.id].names_cause(case, (ERROR, WARNING)) for case in faulty)
    kinds = sorted({case.kind for case in faulty})
    return {
        "recall": recall(),
        "recall_as_error_or_warning": share(gravely),
        "recall_of_causes_on_no_list": recall(lambda case: not case.known),
        "recall_where_a_code_existed": recall(lambda case: bool(case.codes)),
        "recall_where_no_code_existed": recall(lambda case: not case.codes),
        "recall_by_kind": {
            kind: recall(lambda case, kind=kind: case.kind == kind) for kind in kinds
        },
        "recall_by_draw": {
            str(draw): recall(lambda case, draw=draw: case.draw == draw)
            for draw in sorted({case.draw for case in faulty})
        },
        "false_alarms": share(bool(report.alarms()) for report in sound),
        "false_alarms_by_code": dict(Counter(code for one in sound for code in one.alarms())),
        "sound_by_code": sound_by_code(sound),
        "faults_of_the_doctor": sum(reports[case.id].fault is not None for case in cases),
        "sound_scripts_that_failed": sum(report.failed is not None for report in sound),
    }


def sound_by_code(reports: Iterable[Report]) -> dict[str, dict[str, int]]:
    """Return for each code at how many sound scripts it speaks, by the gravest it says of one."""
    counts: dict[str, Counter] = {}
    for report in reports:
        for code, severity in report.gravest().items():
            counts.setdefault(code, Counter())[severity] += 1
    return {code: dict(counts[code]) for code in sorted(counts)}


def by_cause(cases: Iterable[Case], reports: dict[str, Report]) -> dict[str, dict]:
    """Return the recall of each cause among some faulty cases."""
    outcomes: dict[str, list[bool]] = {}
    for case in cases:
        if case.faulty:
            outcomes.setdefault(case.cause, []).append(reports[case.id].names_cause(case))
    return {cause: share(outcomes[cause]) for cause in sorted(outcomes)}


def line(case: Case, report: Report) -> str:
    """Return one line on a case: what came of it."""
    codes = ", ".join(f"{found['code']} ({found['severity']})" for found in report.findings)
    if case.faulty:
        verdict = "found" if report.names_cause(case) else "MISSED"
    else:
        verdict = "ALARM" if report.alarms() else "silent"
    trouble = f" | {report.fault or report.failed}" if report.fault or report.failed else ""
    return f"{verdict:7} {case.id} [{case.cause or 'sound'}]: {codes or 'nothing'}{trouble}"


def _rows(parts: dict[str, dict]) -> list[list[str]]:
    rows = [[name, *(in_words(part[key]) for part in parts.values())] for name, key in ROWS.items()]
    faults = [str(part["faults_of_the_doctor"]) for part in parts.values()]
    return [*rows, ["crashes and hangs of the doctor", *faults]]


def table(parts: dict[str, dict]) -> Table:
    """Return the main figures of each part of the corpus."""
    return Table("The doctor on public mistakes (95% intervals)", ["", *parts], _rows(parts))


def as_json(
    machine: dict, parts: dict[str, dict], seen: list[Case], reports: dict[str, Report]
) -> str:
    """Return a run as JSON: what it ran on, the figures, and what came of each seen case."""
    cases = {case.id: _outcome(case, reports[case.id]) for case in seen}
    made = {"schema": SCHEMA, "machine": machine, "date": time.strftime("%Y-%m-%d")}
    made |= {"parts": parts, "seen_by_cause": by_cause(seen, reports), "seen_cases": cases}
    return json.dumps(made, indent=1) + "\n"


def _outcome(case: Case, report: Report) -> dict:
    right = report.names_cause(case) if case.faulty else not report.alarms()
    codes = [f"{found['code']}:{found['severity']}" for found in report.findings]
    return {"right": right, "findings": codes, "failed": report.failed, "fault": report.fault}


def page(path: Path) -> str:
    """Return a file of results as tables for docs/doctor.md."""
    made = json.loads(path.read_text(encoding="utf-8"))
    machine, parts = made["machine"], made["parts"]
    folder = f"../benchmarks/{path.parent.name}"
    said = (
        f"Python {machine['python']}, torch {machine['torch']}, transformers "
        f"{machine['transformers']}; {made['date']}; [`{path.name}`]({folder}/{path.name})."
    )
    alarms = parts["all"]["false_alarms_by_code"]
    codes = ", ".join(f"{code} ({count})" for code, count in sorted(alarms.items())) or "none"
    draws = parts["all"].get("recall_by_draw", {})  # since the fifth
    of_draws = [
        [draw, *(in_words(part["recall_by_draw"].get(draw, share(()))) for part in parts.values())]
        for draw in draws
    ]
    kinds = parts["all"]["recall_by_kind"]
    of_kinds = [[kind, in_words(value)] for kind, value in kinds.items()]
    return "\n\n".join(
        [
            said,
            _markdown(["", *parts], _rows(parts)),
            f"False alarms by code, all parts: {codes}.",
            *([_markdown(["found by cause: draw", *parts], of_draws)] if of_draws else ()),
            _markdown(["kind, all parts", "found by cause"], of_kinds),
        ]
    )


def _markdown(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def written(text: str, results: Path) -> str:
    """Return the text of docs/doctor.md with the tables of all results between its marks."""
    return readme.written(text, "doctor-field", results, page, NOTHING)
