"""Measure the doctor on public mistakes: found by cause, and silent where there is none.

    python -m benchmarks.doctor_field                     the whole corpus; results go into results/
    python -m benchmarks.doctor_field --split seen        a part of it, shown alone
    python -m benchmarks.doctor_field ID ...              these cases, shown alone

Each script of tests/doctor/field/ runs under `python -m llmcourse doctor`, one at a time, in a
process with one thread. With --journal, what was measured of the same script by the same doctor is
not measured again.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import IO

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.measure.machine import describe_machine, machine_name
from llmcourse.show import Table
from tools import field
from tools.field import Case

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
DOCTOR = ROOT / "llmcourse" / "doctor"
SCHEMA = "llmcourse.doctor-field/1"
PATIENCE = 240  # seconds that a script gets, with the doctor
_95_PERCENT = 1.959964  # standard deviations


@dataclass(frozen=True)
class Report:
    """What the doctor said about a script."""

    id: str  # the case's
    findings: tuple[dict, ...]  # as the doctor's JSON has them
    failed: str | None  # why the script failed, or None
    fault: str | None  # what went wrong with the doctor: it crashed, it hung; or None
    seconds: float  # the time that it took, with Python's start and the model's loading

    def naming(self, case: Case) -> list[Finding]:
        """Return the findings that name the case's cause."""
        return [found for found in self._all() if case.named_by(found)]

    def grave(self) -> list[Finding]:
        """Return the findings that are errors or warnings."""
        return [found for found in self._all() if found.severity in (ERROR, WARNING)]

    def _all(self) -> list[Finding]:
        return [Finding.from_dict(found) for found in self.findings]


def examine(case: Case, stderr: int | IO = subprocess.DEVNULL) -> Report:
    """Run a case's script under the doctor, in a process group of its own.

    stderr: where what the script prints goes.
    """
    command = [sys.executable, "-m", "llmcourse", "doctor", "--json", str(case.file)]
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    pipes = {"stdout": subprocess.PIPE, "stderr": stderr, "text": True}
    started = time.monotonic()
    child = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | quiet, start_new_session=True, **pipes
    )
    try:
        said, _ = child.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return Report(case.id, (), None, f"no report after {PATIENCE} s", PATIENCE)
    seconds = round(time.monotonic() - started, 1)
    try:
        report = json.loads(said)
    except ValueError:
        fault = f"status {child.returncode}, and no report"
        return Report(case.id, (), None, fault, seconds)
    fault = report["doctor_failed"] or "; ".join(report["failures"]) or None
    return Report(case.id, tuple(report["findings"]), report["failed"], fault, seconds)


def wilson(found: int, of: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927), from 0 to 1."""
    if of == 0:
        return 0.0, 1.0
    share, z2 = found / of, _95_PERCENT**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _95_PERCENT / (1 + z2 / of) * sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def share(found: int, of: int) -> dict:
    """Return a share with its number of cases and its interval, as plain values."""
    low, high = wilson(found, of)
    percent = None if of == 0 else round(100 * found / of, 1)
    return {"found": found, "of": of, "percent": percent, "interval": [100 * low, 100 * high]}


def figures(cases: Iterable[Case], reports: dict[str, Report]) -> dict:
    """Return what is to be said of some cases: recall, by kind and cause, and false alarms."""
    cases = [case for case in cases if case.id in reports]
    faulty = [case for case in cases if case.faulty]
    sound = [case for case in cases if not case.faulty]
    named = {case.id for case in faulty if reports[case.id].naming(case)}
    gravely = {case.id for case in faulty if any(map(case.named_by, reports[case.id].grave()))}
    alarms = {case.id: [found.code for found in reports[case.id].grave()] for case in sound}

    def recall(some: list[Case], of: set[str] = named) -> dict:
        return share(sum(case.id in of for case in some), len(some))

    def by(key: str) -> dict:
        names = sorted({getattr(case, key) for case in faulty})
        return {name: recall([c for c in faulty if getattr(c, key) == name]) for name in names}

    return {
        "recall": recall(faulty),
        "recall_as_error_or_warning": recall(faulty, gravely),
        "recall_of_causes_on_no_list": recall([case for case in faulty if not case.known]),
        "recall_where_a_code_existed": recall([case for case in faulty if case.codes]),
        "recall_where_no_code_existed": recall([case for case in faulty if not case.codes]),
        "false_alarms": share(sum(map(bool, alarms.values())), len(sound)),
        "false_alarms_by_code": dict(Counter(c for codes in alarms.values() for c in set(codes))),
        "faults_of_the_doctor": sum(reports[case.id].fault is not None for case in cases),
        "sound_scripts_that_failed": sum(reports[case.id].failed is not None for case in sound),
        "by_kind": by("kind"),
        "by_cause": by("cause"),
    }


def in_words(value: dict) -> str:
    """Return a share as `7 of 9, 78% (45 to 94)`."""
    if value["of"] == 0:
        return "none"
    low, high = value["interval"]
    return f"{value['found']} of {value['of']}, {value['percent']:.0f}% ({low:.0f} to {high:.0f})"


def table(parts: dict[str, dict]) -> Table:
    """Return the main figures of each part of the corpus."""
    rows = {
        "found by cause": "recall",
        "... as an error or a warning": "recall_as_error_or_warning",
        "... of causes on none of our lists": "recall_of_causes_on_no_list",
        "... where a code existed": "recall_where_a_code_existed",
        "... where none did": "recall_where_no_code_existed",
        "sound scripts warned about": "false_alarms",
    }
    filled = [
        [name, *(in_words(part[key]) for part in parts.values())] for name, key in rows.items()
    ]
    filled.append(["crashes and hangs", *(str(p["faults_of_the_doctor"]) for p in parts.values())])
    return Table("The doctor on public mistakes", ["", *parts], filled)


def lines(case: Case, report: Report) -> str:
    """Return one line on a case: what came of it."""
    codes = ", ".join(f"{found['code']} ({found['severity']})" for found in report.findings)
    if case.faulty:
        verdict = "found" if report.naming(case) else "MISSED"
    else:
        verdict = "ALARM" if report.grave() else "silent"
    trouble = f" | {report.fault or report.failed}" if report.fault or report.failed else ""
    return f"{verdict:7} {case.id} [{case.cause or 'sound'}]: {codes or 'nothing'}{trouble}"


def _digest(case: Case) -> str:
    """Return a fingerprint of a script and of the doctor that is to look at it."""
    files = [case.file, *sorted(DOCTOR.rglob("*.py"))]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def measured(cases: Iterable[Case], journal: Path | None) -> dict[str, Report]:
    """Return the report on each case, from the journal where it has the very same."""
    known = {}
    if journal is not None and journal.exists():
        for line in journal.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            known[entry.pop("digest")] = Report(**entry)
    reports = {}
    for case in cases:
        digest = _digest(case)
        if digest not in known:
            known[digest] = examine(case)
            if journal is not None:
                with journal.open("a", encoding="utf-8") as opened:
                    opened.write(json.dumps({"digest": digest, **asdict(known[digest])}) + "\n")
        reports[case.id] = known[digest]
        print(lines(case, known[digest]), flush=True)
    return reports


def as_json(parts: dict[str, dict], cases: list[Case], reports: dict[str, Report]) -> str:
    """Return a run as JSON: what it ran on, the figures, and each case's outcome."""
    outcomes = {}
    for case in cases:
        report = reports[case.id]
        codes = [f"{found['code']}:{found['severity']}" for found in report.findings]
        outcome = bool(report.naming(case)) if case.faulty else not report.grave()
        about = {"fault": report.fault, "failed": report.failed, "seconds": report.seconds}
        outcomes[case.id] = {"split": case.split, "right": outcome, "codes": codes, **about}
    return json.dumps(
        {
            "schema": SCHEMA,
            "machine": describe_machine(),
            "date": time.strftime("%Y-%m-%d"),
            "parts": parts,
            "cases": outcomes,
        },
        indent=1,
    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="*", metavar="ID", help="these cases alone")
    parser.add_argument("--split", choices=field.SPLITS, help="this part of the corpus alone")
    parser.add_argument("--journal", type=Path, help="what was measured, to go on from")
    parser.add_argument("--out", type=Path, help="results/doctor-field-<machine>.json")
    options = parser.parse_args()
    cases = field.read([options.split] if options.split else field.SPLITS)
    cases = [case for case in cases if not options.ids or case.id in options.ids]
    reports = measured(cases, options.journal)
    splits = [split for split in field.SPLITS if any(case.split == split for case in cases)]
    parts = {s: figures([case for case in cases if case.split == s], reports) for s in splits}
    if len(splits) > 1:
        parts["all"] = figures(cases, reports)
    print(table(parts))
    whole = not options.ids and not options.split
    if options.out or whole:
        named = RESULTS / f"doctor-field-{machine_name(describe_machine())}.json"
        out = options.out or named
        out.write_text(as_json(parts, cases, reports) + "\n", encoding="utf-8")
        print(f"written: {out}")


if __name__ == "__main__":
    main()
