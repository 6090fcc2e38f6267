"""What optimum exports, beside torch: tokens, speed, memory. `make bench-exports`.

    python -m benchmarks.exports           some minutes; writes a result
    python -m benchmarks.exports --page    write all results into benchmarks/README.md

Each way is a rung of the ladder: a process of its own, which answers while the others are
suspended. All read the same ids, so that no tokenizer is compared. What cannot be installed or run
becomes a row that says why.
"""

import argparse
import datetime
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import psutil

from benchmarks import readme
from benchmarks.ladder_report import first_differing
from benchmarks.quantizers import passages
from benchmarks.rivals.install import rungs_of
from benchmarks.rung_process import Rung, RungFailed, RungProcess, Turn
from llmcourse.measure import Figure, describe_machine, in_turns
from llmcourse.measure.figure import digits, noise, ratios
from llmcourse.measure.machine import machine_name
from llmcourse.show import plural, readable

SCHEMA = 1  # goes up when a field changes its meaning or goes
OURS = ("generate, float32", "torch.ao linears, int8")  # of benchmarks.rungs; the first is the base
EXPORTED = ("exported-openvino", "exported-onnx")
SAY = partial(print, flush=True)
NOTHING = "Nothing is kept yet: `make bench-exports` measures it."


@dataclass(frozen=True)
class Row:
    """One way to run the model, and what was measured, or why nothing was."""

    name: str
    version: str = ""  # of its package, such as "optimum-onnx 0.1.0"
    weight_bytes: int = 0  # of the weights: of an export, its files
    resident_bytes: int = 0  # of the whole process after it has run, libraries included
    ready: float = 0.0  # seconds from the start of the process
    equal: list[int] = field(default_factory=list)  # tokens before one differs, for each prompt
    first: list[float] = field(default_factory=list)  # seconds to the first token, for each round
    speeds: list[float] = field(default_factory=list)  # tokens/s after it, for each round
    failed: str = ""  # why it was left out


# Measuring


def started(rung: Rung) -> tuple[RungProcess, float]:
    """Return a rung that is ready, and the seconds that took. Raises RungFailed."""
    began = time.perf_counter()
    process = RungProcess(rung)
    try:
        process.start()
    except BaseException:
        process.close()
        raise
    return process, time.perf_counter() - began


def answers(process: RungProcess, prompts: Sequence[list[int]], new_tokens: int) -> list[Turn]:
    """Return what a rung generates after each prompt. Raises RungFailed."""
    return [process.ask(prompt, new_tokens) for prompt in prompts]


def measured(
    rungs: Sequence[Rung],
    prompts: Sequence[list[int]],
    *,
    rounds: int = 5,
    new_tokens: int = 32,
    say: Callable[[str], None] = SAY,
) -> list[Row]:
    """Return a row for each rung; the first is what the others are compared with.

    A rung that fails to start, or in its first answers, is a row with the reason. Raises RungFailed
    where that is the first, or where one fails later.
    """
    rows, processes, expected = {}, {}, []
    try:
        for rung in rungs:
            say(f"{rung.name}: starting, and its first answers")
            try:
                process, ready = started(rung)
                processes[rung.name] = process
                turns = answers(process, prompts, new_tokens)
            except RungFailed as error:
                if not expected:
                    raise
                rows[rung.name] = Row(rung.name, failed=str(error))
                if rung.name in processes:
                    processes.pop(rung.name).close()
                continue
            expected = expected or [list(turn.tokens) for turn in turns]
            rows[rung.name] = _row(process, ready, turns, expected)
        runs = {name: partial(answers, one, prompts, new_tokens) for name, one in processes.items()}
        for number, round_ in enumerate(in_turns(runs, rounds, warmup=0), 1):
            say(f"round {number} of {rounds}")
            for name, turns in round_.items():
                rows[name].first.append(sum(turn.first for turn in turns) / len(turns))
                later = sum(len(turn.tokens) - 1 for turn in turns)
                rows[name].speeds.append(later / sum(turn.rest for turn in turns))
    finally:
        for process in processes.values():
            process.close()
    return list(rows.values())


def _row(process: RungProcess, ready: float, turns: list[Turn], expected: list[list[int]]) -> Row:
    return Row(
        name=process.rung.name,
        version=process.ready["version"],
        weight_bytes=process.ready["weight_bytes"],
        resident_bytes=psutil.Process(process.process.pid).memory_info().rss,
        ready=ready,
        equal=[
            first_differing(turn.tokens, tokens)
            for turn, tokens in zip(turns, expected, strict=True)
        ],
    )


# Results, as JSON and as a table


def read(path: Path) -> tuple[dict, list[Row]]:
    """Return what a file of results says of its run, and its rows. Raises ValueError for others."""
    return readme.read_rows(path, "result of benchmarks.exports", SCHEMA, Row)


def page(path: Path) -> str:
    """Return a file of results as a table for the README."""
    made, rows = read(path)
    machine = made["machine"]
    kept = [row for row in rows if row.speeds]
    said = (
        f"{machine['processor']}, {machine['cores']} cores ({machine['vectors']}), "
        f"{made['threads']} threads; torch {machine['torch']}, transformers "
        f"{machine['transformers']} for the first rows; {plural(made['prompts'], 'prompt')} of "
        f"{made['prompt_tokens']} tokens, {made['new_tokens']} new, greedy; medians of "
        f"{plural(len(rows[0].speeds), 'round')}, quartiles in brackets; {made['date']}; "
        f"[`{path.name}`]({path.parent.name}/{path.name}). {made['note']} "
        f"{noise(Figure(tuple(row.speeds), '') for row in kept)}"
    ).strip()
    headers = ["way", "package", "tokens/s", "x torch", "first token", "weights", "process"]
    headers += ["ready in", "prompts with the same tokens", ""]
    lines = [headers, ["---"] * len(headers)]
    lines += [_cells(row, rows[0], made["new_tokens"]) for row in rows]
    return f"{said}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Row, base: Row, new_tokens: int) -> list[str]:
    if row.failed:
        reason = readable(row.failed.replace("|", "/"), 250)
        return [row.name, row.version, *[""] * 7, f"could not be run: {reason}"]
    beside = str(ratios(row.speeds, base.speeds)).replace(" x", "")
    same = sum(equal == new_tokens for equal in row.equal)
    return [
        row.name,
        row.version,
        digits(Figure(tuple(row.speeds), "").median),
        beside,
        f"{digits(1000 * Figure(tuple(row.first), '').median)} ms",
        f"{row.weight_bytes / 1e6:,.0f} MB",
        f"{row.resident_bytes / 1e6:,.0f} MB",
        f"{digits(row.ready)} s",
        f"{same} of {len(row.equal)}",
        "",
    ]


def written(text: str, results: Path) -> str:
    """Return the README's text with the tables of all results between its marks."""
    return readme.written(text, "exports", results, page, NOTHING)


def rungs_here(threads: int, say: Callable[[str], None]) -> tuple[list[Rung], Mapping[str, str]]:
    """Return the rungs that can be had here, and why which export cannot, by name."""
    command = (sys.executable, "-m", "benchmarks.rungs")
    rungs, refused = [Rung(name, (*command, name)) for name in OURS], {}
    for name in EXPORTED:
        try:
            rungs += rungs_of(name, say)
        except OSError as error:
            say(f"{name} is left out: {error}")
            refused[name] = str(error)
    options = ("--threads", str(threads))
    return [replace(rung, command=(*rung.command, *options)) for rung in rungs], refused


def result(args: argparse.Namespace) -> dict:
    """Measure, and return what is written."""
    import torch

    import llmcourse

    torch.set_num_threads(args.threads)  # what the machine is described with
    rungs, refused = rungs_here(args.threads, SAY)
    tokenizer = llmcourse.load()[1]
    ids = [tokenizer(passage)["input_ids"] for passage in passages(slice(2))]
    prompts = [one[: args.prompt_tokens] for one in ids]
    rows = measured(rungs, prompts, rounds=args.rounds, new_tokens=args.new_tokens)
    rows += [Row(name, failed=why) for name, why in refused.items()]
    return {
        "schema": SCHEMA,
        "machine": describe_machine(),
        "date": datetime.date.today().isoformat(),
        "note": args.note,
        "threads": args.threads,
        "prompts": len(prompts),
        "prompt_tokens": args.prompt_tokens,
        "new_tokens": args.new_tokens,
        "rows": [asdict(row) for row in rows],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt-tokens", type=int, default=32)
    parser.add_argument("--new-tokens", type=int, default=32, help="after each prompt")
    parser.add_argument("--threads", type=int, default=2, help="of each process")
    parser.add_argument("--note", default="", help="a sentence to stand with the result")
    parser.add_argument("--out", type=Path, help="results/exports-<machine>.json")
    parser.add_argument("--page", action="store_true", help="write results into the README alone")
    args = parser.parse_args()
    if not args.page:
        made = result(args)
        out = args.out or readme.RESULTS / f"exports-{machine_name(made['machine'])}.json"
        out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        print(f"{page(out)}\n\nwritten to {out}")
        return 0
    text = readme.README.read_text(encoding="utf-8")
    readme.README.write_text(written(text, readme.RESULTS), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
