"""More than one process: the scripts of scale/, each beside one process. `make bench-scale`.

    python -m benchmarks.scaling            twenty minutes; writes a result
    python -m benchmarks.scaling --setup    make .venv-scale alone, which has Ray
    python -m benchmarks.scaling --page     write all results into benchmarks/README.md

All answer the same prompts. A script that fails is a row with the last error that it printed.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path

import psutil

from benchmarks import readme
from benchmarks.rivals.install import one_by_one, pinned
from benchmarks.rung_process import ROOT
from llmcourse.measure import Figure, describe_machine, in_turns
from llmcourse.measure.figure import digits, ratios
from llmcourse.measure.machine import machine_name
from llmcourse.show import plural, readable

SCHEMA = 1  # goes up when a field changes its meaning or goes
FOLDER = ROOT / ".venv-scale"
PINS = ROOT / "benchmarks" / "scale" / "ray.txt"
SAY = partial(print, flush=True)
NOTHING = "Nothing is kept yet: `make bench-scale` measures it."
# A thread that waits sleeps, and Ray's workers do not stand back for every other process.
FAIR = {"OMP_WAIT_POLICY": "passive", "RAY_worker_niceness": "0"}
WORKER = "ray::MapWorker"  # how Ray calls the process of a worker
PROMPTS = (
    *("A list of colors: red, blue", "A sequence of numbers: 1, 2", "The capital of France is"),
    *("Once upon a time", "Water boils at", "The opposite of hot is", "A week has seven"),
    *("My favourite book is", "In the morning I", "The sun rises in the", "To bake bread you need"),
    *("Dogs and cats", "The first computers", "A triangle has", "She opened the door and"),
    "Every winter",
)


@dataclass(frozen=True)
class Way:
    """How the prompts are answered."""

    name: str
    command: tuple[str, ...]  # two files are added to it: the prompts, and where the answers go
    threads: int = 1  # of each process
    kill: bool = False  # end one of Ray's workers by SIGKILL once there is an answer


@dataclass
class Row:
    """A way, and what was measured, or why nothing was."""

    name: str
    command: str  # as one types it
    processes: int = 0  # that answered, as the script counted; of Ray, as asked for
    equal: int = 0  # answers with the first way's tokens
    missing: int = 0  # prompts that have no answer, or more than one
    killed: int = 0  # workers, by us
    walls: list[float] = field(default_factory=list)  # seconds of the whole command, each round
    seconds: list[float] = field(default_factory=list)  # of them without loading; [] if not told
    failed: str = ""


def ways(ray: Path | None) -> list[Way]:
    """Return the ways to answer; the first is what the others are compared with.

    ray: the Python that has Ray, or None.
    """
    one = (sys.executable, "-m")
    torchrun = (*one, "torch.distributed.run", "--nproc-per-node")
    accelerate = (*one, "accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes")
    shared, split = "benchmarks.scale.data_parallel", "benchmarks.scale.tensor_parallel"
    made = [
        Way("one process, one thread", (*one, shared)),
        Way("one process, two threads", (*one, shared), threads=2),
        Way("two processes, prompts shared", (*torchrun, "2", "-m", shared)),
        Way("the same from a notebook", (*one, "benchmarks.scale.from_a_notebook")),
        Way("accelerate launch, two asked for", (*accelerate, "2", "-m", shared)),
        Way("two processes, each matrix shared", (*torchrun, "2", "-m", split)),
        Way("three processes, each matrix shared", (*torchrun, "3", "-m", split)),
        Way("half of the layers on the disk", (*one, "benchmarks.scale.offload")),
    ]
    if ray:
        batch = (str(ray), "-m", "benchmarks.scale.ray_batch")
        made.append(Way("Ray Data, two workers", batch))
        made.append(Way("Ray Data, a worker killed", batch, kill=True))
    return made


# Measuring


def measured(
    asked: Sequence[Way],
    prompts: Sequence[str] = PROMPTS,
    *,
    rounds: int = 3,
    say: Callable[[str], None] = SAY,
) -> list[Row]:
    """Return a row for each way. Raises OSError if the first one fails."""
    rows = {way.name: Row(way.name, typed(way)) for way in asked}
    expected: list[list[int]] = []

    def turn(way: Way) -> None:
        row = rows[way.name]
        if row.failed:
            return
        say(way.name)
        try:
            _take(row, run(way, prompts), expected)
        except OSError as error:
            if way is asked[0]:
                raise
            row.failed = str(error)

    for _ in in_turns({way.name: partial(turn, way) for way in asked}, rounds, warmup=0):
        pass
    return list(rows.values())


def _take(row: Row, given: Mapping, expected: list[list[int]]) -> None:
    """Note what a run gave. expected: the first way's answers, which the first run fills in."""
    expected += [] if expected else given["answers"]
    pairs = zip(given["answers"], expected, strict=False)
    row.equal = sum(one == other for one, other in pairs)
    row.missing = given["missing"]
    row.processes = given["processes"]
    row.killed += given["killed"]
    row.walls.append(given["wall"])
    row.seconds += [given["seconds"]] if given["seconds"] else []


def run(way: Way, prompts: Sequence[str]) -> dict:
    """Return the answers, and how they came. Raises OSError, with the error, if it fails."""
    of_ray = "benchmarks.scale.ray_batch" in way.command
    with tempfile.TemporaryDirectory() as folder:
        asked, answers, said = (Path(folder) / name for name in ("asked", "answers", "said"))
        lines = "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)
        asked.write_text(lines if of_ray else json.dumps(prompts), encoding="utf-8")
        began = time.perf_counter()
        with said.open("w", encoding="utf-8") as log:
            command = [*way.command, str(asked), str(answers)]
            settings = FAIR | {"OMP_NUM_THREADS": str(way.threads)}
            process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | settings, stdout=log, stderr=log
            )
            with process:
                killed = kill_a_worker(process, answers) if way.kill else 0
        wall = time.perf_counter() - began
        if process.returncode or not answers.exists():
            raise OSError(last_error(said.read_text(encoding="utf-8", errors="replace")))
        read = of_lines if of_ray else json.loads
        made = read(answers.read_text(encoding="utf-8"))
    return {"missing": len(prompts) - len(made["answers"]), "wall": wall, "killed": killed} | made


def of_lines(text: str) -> dict:
    """Return what the lines of ray_batch hold, as the other scripts write it."""
    rows = [json.loads(line) for line in text.splitlines()]
    missing = sum(row["number"] != number for number, row in enumerate(rows))
    made = {"answers": [row["tokens"] for row in rows], "seconds": None, "processes": 2}
    return made | ({"missing": missing} if missing else {})


def kill_a_worker(process: subprocess.Popen, answers: Path) -> int:
    """End a worker of Ray by SIGKILL once there is an answer; return how many: 1 or 0."""
    while process.poll() is None:
        if answers.exists() and answers.stat().st_size:
            for worker in workers_of(process.pid):
                worker.kill()
                return 1
        time.sleep(0.2)
    return 0


def workers_of(pid: int) -> list[psutil.Process]:
    """Return the processes of Ray's workers below a process."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        try:
            found += [child] if child.cmdline()[:1][0].startswith(WORKER) else []
        except (psutil.Error, IndexError):
            continue
    return found


def last_error(said: str) -> str:
    """Return the first line of the first error that a program printed, or its last line."""
    errors = re.findall(r"^(?:\[rank\d+\]: ?)?([A-Z]\w*(?:Error|Exception): .*)$", said, re.M)
    lines = [line for line in said.splitlines() if line.strip()]
    return errors[0] if errors else (lines or ["it said nothing"])[-1]


# Results, as JSON and as a table


def typed(way: Way) -> str:
    """Return a command as one types it: the names of programs, without folders."""
    words = " ".join(way.command[1:])
    for module, name in (
        ("-m torch.distributed.run", "torchrun"),
        ("-m accelerate.commands.accelerate_cli", "accelerate"),
    ):
        if words.startswith(module):
            return words.replace(module, name, 1)
    return f"python {words}"


def read(path: Path) -> tuple[dict, list[Row]]:
    """Return what a file of results says of its run, and its rows. Raises ValueError for others."""
    return readme.read_rows(path, "result of benchmarks.scaling", SCHEMA, Row)


def page(path: Path) -> str:
    """Return a file of results as a table for the README."""
    made, rows = read(path)
    machine = made["machine"]
    said = (
        f"{machine['processor']}, {machine['cores']} cores; torch {machine['torch']}, transformers "
        f"{machine['transformers']}, {made['packages']}; {plural(made['prompts'], 'prompt')}, 24 "
        f"new tokens each, greedy; medians of {plural(len(rows[0].walls), 'round')}, quartiles in "
        f"brackets; {made['date']}; [`{path.name}`]({path.parent.name}/{path.name}). {made['note']}"
    ).strip()
    headers = ["way", "command", "processes", "answering", "x one", "whole command", "same tokens"]
    headers += [""]
    lines = [headers, ["---"] * len(headers)]
    lines += [_cells(row, rows[0], made["prompts"]) for row in rows]
    return f"{said}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Row, base: Row, prompts: int) -> list[str]:
    start = [row.name, f"`{readable(row.command.replace('|', '/'), 250)}`"]
    if row.failed:
        return [*start, *[""] * 5, f"fails: {readable(row.failed.replace('|', '/'), 250)}"]
    seconds, beside = "", ""
    if row.seconds:
        seconds = f"{digits(Figure(tuple(row.seconds), '').median)} s"
        beside = str(ratios(base.seconds, row.seconds)).replace(" x", "")
    remarks = [f"{row.killed} killed, in {plural(len(row.walls), 'round')}"] if row.killed else []
    remarks += [f"{row.missing} missing or doubled"] if row.missing else []
    wall = f"{digits(Figure(tuple(row.walls), '').median)} s"
    same = f"{row.equal} of {prompts}"
    return [*start, str(row.processes), seconds, beside, wall, same, "; ".join(remarks)]


def written(text: str, results: Path) -> str:
    """Return the README's text with the tables of all results between its marks."""
    return readme.written(text, "scaling", results, page, NOTHING)


def result(args: argparse.Namespace, ray: Path | None) -> dict:
    """Measure, and return what is written."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)  # what the machine is described with
    packages = f"accelerate {metadata.version('accelerate')}"
    packages += f", ray {pinned(PINS)['ray[data]']}" if ray else ""
    return {
        "schema": SCHEMA,
        "machine": describe_machine(),
        "date": datetime.date.today().isoformat(),
        "note": args.note,
        "packages": packages,
        "prompts": args.prompts,
        "rows": [
            asdict(row) for row in measured(ways(ray), PROMPTS[: args.prompts], rounds=args.rounds)
        ],
    }


def ray_python(say: Callable[[str], None]) -> Path:
    """Return the Python that has Ray; make its environment if there is none. Raises OSError."""
    python, refused = one_by_one(FOLDER, PINS, say)
    if refused:
        raise OSError("; ".join(refused.values()))
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=16, help=f"at most {len(PROMPTS)}")
    parser.add_argument("--note", default="", help="a sentence to stand with the result")
    parser.add_argument("--out", type=Path, help="results/scaling-<machine>.json")
    parser.add_argument("--setup", action="store_true", help="make .venv-scale alone")
    parser.add_argument("--page", action="store_true", help="write results into the README alone")
    args = parser.parse_args()
    if args.page:
        text = readme.README.read_text(encoding="utf-8")
        readme.README.write_text(written(text, readme.RESULTS), encoding="utf-8")
        return 0
    try:
        ray = ray_python(SAY)
    except OSError as error:
        SAY(f"Ray cannot be had here: {error}")
        if args.setup:
            return 1
        ray = None
    if args.setup:
        return 0
    made = result(args, ray)
    out = args.out or readme.RESULTS / f"scaling-{machine_name(made['machine'])}.json"
    out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    print(f"{page(out)}\n\nwritten to {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
