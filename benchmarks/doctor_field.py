"""Measure the doctor on public mistakes: found by cause, and silent where there is none.

    python -m benchmarks.doctor_field                     the whole corpus; results go into results/
    python -m benchmarks.doctor_field --split seen        a part of it, shown alone
    python -m benchmarks.doctor_field ID ...              these cases, shown alone
    python -m benchmarks.doctor_field --static            what the source alone shows: a second
    python -m benchmarks.doctor_field --page              measure nothing: write docs/doctor.md

Each script of tests/doctor/field/ runs under `python -m llmcourse doctor`, one at a time, in a
process with one thread: half an hour for the whole corpus. With --journal, what was measured of the
same script by the same doctor is not measured again. What came of each held-out case is not shown,
except by --split held_out and by its name: a check is written without a look at it.
"""

import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import IO

from benchmarks.doctor_field_report import Report, as_json, figures, line, table, written
from benchmarks.readme import RESULTS
from llmcourse.doctor import static
from llmcourse.doctor.finding import NOTE
from llmcourse.measure.machine import describe_machine, machine_name
from tools import field
from tools.field import Case

ROOT = Path(__file__).resolve().parent.parent
DOCTOR = ROOT / "llmcourse" / "doctor"
PAGE = ROOT / "docs" / "doctor.md"
PATIENCE = 240  # seconds that a script gets, with the doctor
_ALONE = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def examine(
    case: Case, stderr: int | IO = subprocess.DEVNULL, patience: float | None = None
) -> Report:
    """Run a case's script under the doctor, in a process group of its own.

    stderr: where what the script prints goes. patience: seconds that it gets; None: as many as all.
    """
    patience = PATIENCE if patience is None else patience
    command = [sys.executable, "-m", "llmcourse", "doctor", "--json", str(case.file)]
    started = time.monotonic()
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | _ALONE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = child.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return Report(case.id, fault=f"no report after {patience} s", seconds=patience)
    seconds = round(time.monotonic() - started, 1)
    try:
        said = json.loads(said)
    except ValueError:
        fault = f"status {child.returncode}, and no report"
        return Report(case.id, fault=fault, seconds=seconds)
    fault = said["doctor_failed"] or "; ".join(said["failures"]) or None
    return Report(case.id, tuple(said["findings"]), said["failed"], fault, seconds)


def measured(cases: Iterable[Case], journal: Path | None, shown: set[str]) -> dict[str, Report]:
    """Return the report on each case, from the journal where it has the very same.

    shown: the ids of the cases of which it is shown what came of them.
    """
    known = {} if journal is None or not journal.exists() else _noted(journal)
    reports = {}
    for case in cases:
        digest = _digest(case)
        if digest not in known:
            known[digest] = examine(case)
            if journal is not None:
                _note(journal, digest, known[digest])
        reports[case.id] = known[digest]
        print(line(case, known[digest]) if case.id in shown else "held out", flush=True)
    return reports


def _digest(case: Case) -> str:
    """Return a fingerprint of a script and of the doctor that is to look at it."""
    files = [case.file, *sorted(DOCTOR.rglob("*.py"))]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _note(journal: Path, digest: str, report: Report) -> None:
    with journal.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps({"digest": digest, **asdict(report)}) + "\n")


def _noted(journal: Path) -> dict[str, Report]:
    """Return the reports of a journal, by their digests; a line that was cut off is left out."""
    reports = {}
    for noted in journal.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(noted)
            digest = entry.pop("digest")
            reports[digest] = Report(**entry)
    return reports


def in_the_source(cases: Iterable[Case]) -> str:
    """Return what the checks of the source alone find, in a sentence; nothing is run."""
    cases, named, warned = list(cases), [], []
    for case in cases:
        findings = static.look(str(case.file))
        if case.faulty and any(map(case.named_by, findings)):
            named.append(case)
        if not case.faulty and any(found.severity != NOTE for found in findings):
            warned.append(case)
    parts = []
    for split in field.SPLITS:
        faulty = [case for case in cases if case.split == split and case.faulty]
        found = [case for case in named if case.split == split]
        parts += [f"{len(found)} of {len(faulty)} {split}"] if faulty else []
    sound = sum(not case.faulty for case in cases)
    return f"found by cause: {', '.join(parts)}; warned of {len(warned)} of {sound} sound ones"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="*", metavar="ID", help="these cases alone")
    parser.add_argument("--split", choices=field.SPLITS, help="this part of the corpus alone")
    parser.add_argument("--static", action="store_true", help="what the source alone shows")
    parser.add_argument("--journal", type=Path, help="what was measured, to go on from")
    parser.add_argument("--out", type=Path, help="results/doctor-field-<machine>.json")
    parser.add_argument(
        "--page", action="store_true", help="write results into docs/doctor.md alone"
    )
    options = parser.parse_args()
    if options.page:
        PAGE.write_text(written(PAGE.read_text("utf-8"), RESULTS), encoding="utf-8")
        return
    whole = not options.ids and not options.split
    cases = field.read([options.split] if options.split else field.SPLITS)
    cases = [case for case in cases if not options.ids or case.id in options.ids]
    if options.static:
        print(in_the_source(cases))
        return
    shown = {case.id for case in cases if not whole or case.split == "seen"}
    reports = measured(cases, options.journal, shown)
    parts = figures(cases, reports)
    print(table(parts))
    machine = describe_machine()
    out = options.out or (whole and RESULTS / f"doctor-field-{machine_name(machine)}.json")
    if out:
        seen = [case for case in cases if case.split == "seen"]
        out.write_text(as_json(machine, parts, seen, reports), encoding="utf-8")
        print(f"{out}: `python -m benchmarks.doctor_field --page` puts it into docs/doctor.md.")


if __name__ == "__main__":
    main()
