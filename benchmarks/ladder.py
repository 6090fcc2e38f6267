"""The ladder: how fast is each way to decode, and how far is the machine's limit? `make bench`.

    python -m benchmarks.ladder                       ten minutes; writes a result
    python -m benchmarks.ladder --all                 every rung, half an hour the first time
    python -m benchmarks.ladder --quick               three rungs, one turn each
    python -m benchmarks.ladder --beside llamacpp     llama.cpp in the same turns
    python -m benchmarks.ladder --table FILE          print the table of a result again
    python -m benchmarks.ladder --page                write all results into benchmarks/README.md

Each rung is a process of its own. They take turns, one computes at a time, and a ratio is taken
within a round, so that a machine that slows down slows all of them. In each round the fastest are
started anew, for a process may be lucky with its memory. Ctrl-C keeps whole rounds.
"""

import argparse
import contextlib
import datetime
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import psutil

from benchmarks import ladder_report, readme
from benchmarks.ladder_report import BASE, RIVAL, Climb, Ladder, first_differing, goals
from benchmarks.readme import README, RESULTS
from benchmarks.rung_process import ROOT, Rung, RungFailed, RungProcess, Turn
from llmcourse.measure import Figure, describe_machine, in_turns, read_bandwidth
from llmcourse.measure.machine import machine_name
from llmcourse.show import amount, plural

NOTHING = "Nothing is kept yet: `make bench-llamacpp` measures it."
# Shares of the fastest rung's speed: from here on a rung takes all turns of a round, a slower one
# takes one; from here on it is started anew in each round.
OFTEN, ANEW = 0.5, 0.8
ROOM = 2e9  # bytes of memory that have to be free before a rung is started
CORE = (  # what is climbed without --all
    *("no cache, float32", "generate, float32", BASE, "bfloat16", "torch.ao linears, int8"),
    *("own step, compiled, int8", "own step, compiled, int4", "own step in C++, 4 bits"),
)
QUICK = ("no cache, float32", BASE, "bfloat16")  # each takes seconds to start
PROMPT = (
    "The first computers filled whole rooms and were slower than a watch is today. What made them "
    "useful was that they could be given a list of instructions. A program is such a list. "
)
INSTRUCTIONS = (  # of x86 and ARM, those that decoding uses
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16", "sve"),
)


@dataclass
class Climbing:
    """The rungs of a run: which are running, and what they did so far."""

    rungs: Sequence[Rung]
    prompt: list[int]
    new_tokens: int
    turns: int  # of each rung in a round
    say: Callable[[str], None]  # called with a line as things go on
    running: dict[str, RungProcess] = field(default_factory=dict)
    started: dict[str, int] = field(default_factory=dict)  # how many processes
    about: dict[str, dict] = field(default_factory=dict)  # what each said when it was ready
    warm: dict[str, float] = field(default_factory=dict)  # tokens/s of the turn before all others
    rounds: dict[str, dict[int, tuple[Turn, ...]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)  # those that still have turns in this round

    def one_round(self, number: int) -> None:
        """Start what has to be started, and have each take its turns."""
        for rung in self.rungs:
            if rung.name not in self.failed and self._is_due(rung.name):
                self._start(rung)
        ways = {name: partial(self._turn, name) for name in self.running}
        self.asked, done = set(ways), []
        for results in in_turns(ways, self.turns, warmup=0) if ways else ():
            done.append(results)
            self.asked = set(self._faster(OFTEN))
        for name in list(self.running):  # without those that failed meanwhile
            turns = tuple(results[name] for results in done if results[name])
            self.rounds.setdefault(name, {})[number] = turns

    def _is_due(self, name: str) -> bool:
        """Whether it does not run yet, or is so fast that it is started anew."""
        return name not in self.running or name == RIVAL or name in self._faster(ANEW)

    def _faster(self, share: float) -> list[str]:
        """Return those that run and have at least this share of the fastest one's speed."""
        speeds = {one: self._speed(one) for one in self.running}
        return [one for one in speeds if speeds[one] >= share * max(speeds.values())]

    def _speed(self, name: str) -> float:
        done = [turn.speed for turns in self.rounds.get(name, {}).values() for turn in turns]
        return Figure(tuple(done or [self.warm[name]]), "tokens/s").median

    def _start(self, rung: Rung) -> None:
        """Start a rung and warm it up; note one that fails."""
        name, self.started[rung.name] = rung.name, self.started.get(rung.name, 0) + 1
        compiles = ", which compiles" if rung.compiled and self.started[name] == 1 else ""
        self.say(f"starting {name}{compiles}")
        self._close(name)
        try:
            if (free := psutil.virtual_memory().available) < ROOM:
                raise RungFailed(f"only {amount(free)} of memory are free")
            process = self.running[name] = RungProcess(rung)
            process.start()
            self.about[name] = process.ready
            self.warm[name] = process.ask(self.prompt, self.new_tokens).speed
        except RungFailed as error:
            self._fail(name, error)

    def _turn(self, name: str) -> Turn | None:
        """Have a rung generate; None if it has no turn, or fails, and is left out from now on."""
        if name not in self.running or name not in self.asked:
            return None
        try:
            return self.running[name].ask(self.prompt, self.new_tokens)
        except RungFailed as error:
            self._fail(name, error)
            return None

    def _fail(self, name: str, error: RungFailed) -> None:
        self.say(f"{name} failed: {error}")
        self.failed[name] = str(error)
        self._close(name)

    def _close(self, name: str) -> None:
        if name in self.running:
            self.running.pop(name).close()

    def close(self) -> None:
        """End all processes."""
        for name in list(self.running):
            self._close(name)

    def climbs(self) -> tuple[Climb, ...]:
        """Return the rungs that did at least one whole round, in their order."""
        names = [rung.name for rung in self.rungs if self.rounds.get(rung.name)]
        return tuple(self._climb(name, self.about[name]) for name in names)

    def _climb(self, name: str, about: dict) -> Climb:
        return Climb(
            name=name,
            version=about["version"],
            threads=about["threads"],
            weight_bytes=about["weight_bytes"],
            weights=about.get("weights", "float32"),
            rounds=self.rounds[name],
            processes=self.started[name],
        )


def climb(
    rungs: Sequence[Rung],
    prompt: list[int],
    *,
    rounds: int = 5,
    turns: int = 3,
    new_tokens: int = 64,
    bandwidth: Callable[[], Figure] = read_bandwidth,
    say: Callable[[str], None] = print,
) -> Ladder:
    """Have each rung generate after the prompt, in turns, and return the Ladder.

    turns: of each fast rung in a round; a slow one has one. new_tokens: of each turn, at least 2.
    bandwidth: measured before each round and after the last. A rung that fails is left out, and
    named in `failed` with the reason. Ctrl-C ends it early with the rounds that were done; before
    one was, it raises KeyboardInterrupt. Raises ValueError if no rung did a whole round.
    """
    climbing = Climbing(rungs, prompt, new_tokens, turns, say)
    read: list[Figure] = []
    complete = True
    try:
        for number in range(1, rounds + 1):
            read.append(bandwidth())
            say(f"round {number} of {rounds}; the memory gives {read[-1]}")
            climbing.one_round(number)
        read.append(bandwidth())
    except KeyboardInterrupt:
        if not climbing.climbs():
            raise
        complete = False
    finally:
        climbing.close()
    if not climbing.climbs():
        reasons = "; ".join(f"{name}: {why}" for name, why in climbing.failed.items())
        raise ValueError(f"No rung could be run. {reasons}")
    return Ladder(
        machine=describe_machine() | {"instructions": instructions()},
        bandwidth=Figure(tuple(value for one in read for value in one.values), "GB/s"),
        climbs=climbing.climbs(),
        prompt_tokens=len(prompt),
        new_tokens=new_tokens,
        date=datetime.date.today().isoformat(),
        complete=complete,
        failed=climbing.failed,
    )


def instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Return which of INSTRUCTIONS the processor has, as Linux lists them; [] elsewhere."""
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                held = line.partition(":")[2].split()
                return [name for name in INSTRUCTIONS if name in held]
    return []


def our_rungs() -> list[Rung]:
    """Return the rungs of `benchmarks.rungs`, in the ladder's order."""
    command = (sys.executable, "-m", "benchmarks.rungs")
    listed = subprocess.run(
        [*command, "--list"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [
        Rung(one["name"], (*command, one["name"]), compiled=one["compiled"])
        for one in json.loads(listed.stdout)
    ]


def with_same_tokens(ladder: Ladder, prompt: list[int], say: Callable[[str], None]) -> Ladder:
    """Compare each rung's tokens with those of the visible loop on the same weights.

    Adds `equal_tokens`, and the perplexity of each kind of weights.
    """
    from benchmarks import quality

    expected: dict[str, list[int]] = {}
    perplexity: dict[str, float] = {}
    for kind in sorted({climb.weights for climb in ladder.climbs} | {BASE}):
        say(f"the visible loop on the same weights, {kind}")
        with quality.model_of(kind) as model:
            expected[kind] = quality.tokens(model, prompt, ladder.new_tokens)
            perplexity[kind] = quality.perplexity(model)
        gc.collect()
    compared = [
        replace(one, equal_tokens=first_differing(one.tokens, expected[one.weights]))
        for one in ladder.climbs
    ]
    return replace(ladder, climbs=tuple(compared), perplexity=perplexity)


def page(path: Path) -> str:
    """Return a result as tables for the README: the rungs, and what the goals came to."""
    ladder = ladder_report.read(path)
    return f"{ladder.table()}\n{goals(ladder)}\nFrom `results/{path.name}`."


def written(text: str, results: Path) -> str:
    """Return the README's text with the tables of all results between its marks."""
    return readme.written(text, "ladder", results, page, NOTHING)


def chosen(
    rungs: Sequence[Rung], only: Sequence[str] | None, *, every: bool, quick: bool
) -> list[Rung]:
    """Return the rungs that were asked for. Raises ValueError for a name that there is not."""
    names = [rung.name for rung in rungs]
    if unknown := [name for name in only or () if name not in names]:
        raise ValueError(f"There is no rung {unknown[0]!r}; there are {'; '.join(names)}.")
    if only or every:
        return [rung for rung in rungs if every or rung.name in only]
    return [rung for rung in rungs if rung.name in (QUICK if quick else CORE)]


def run(args: argparse.Namespace) -> Ladder:
    """Measure what was asked for."""
    import torch

    import llmcourse
    from benchmarks.rivals.install import rungs_of

    say = partial(print, flush=True)
    rungs = chosen(our_rungs(), args.rungs, every=args.all, quick=args.quick)
    refused = {}
    for rival in args.beside:
        try:
            rungs += rungs_of(rival, say)
        except (OSError, ValueError) as error:
            say(f"{rival} is left out: {error}")
            refused[rival] = str(error)
    threads = ("--threads", str(args.threads))
    rungs = [replace(rung, command=(*rung.command, *threads)) for rung in rungs]
    torch.set_num_threads(args.threads)  # for the memory
    tokenizer = llmcourse.load()[1]
    prompt = tokenizer(PROMPT)["input_ids"]
    sizes = {"rounds": args.rounds, "turns": args.turns, "new_tokens": args.new_tokens}
    ladder = climb(rungs, prompt, **sizes, say=say)
    if not args.quick:
        ladder = with_same_tokens(ladder, prompt, say)
    return replace(ladder, failed=refused | ladder.failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round of three rungs")
    parser.add_argument("--all", action="store_true", help="all rungs, not the core of the ladder")
    parser.add_argument("--rungs", nargs="+", metavar="NAME", help="these alone")
    parser.add_argument("--beside", nargs="+", default=[], metavar="PROGRAM", help="see rivals/")
    parser.add_argument("--rounds", type=int, help="5; each starts the fast rungs anew")
    parser.add_argument("--turns", type=int, help="3, of each rung in a round")
    parser.add_argument("--new-tokens", type=int, help="64, of each turn")
    parser.add_argument("--threads", type=int, default=2, help="of each rung")
    parser.add_argument("--out", type=Path, help="results/ladder-<machine>.json")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print a result's table")
    parser.add_argument("--page", action="store_true", help="write results into the README alone")
    args = parser.parse_args()
    if args.table:
        print(ladder_report.read(args.table).table())
        return 0
    if args.page:
        README.write_text(written(README.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")
        return 0
    args.rounds = args.rounds or (1 if args.quick else 5)
    args.turns = args.turns or (1 if args.quick else 3)
    args.new_tokens = args.new_tokens or (16 if args.quick else 64)
    ladder = run(args)
    print(f"\n{ladder.table()}")
    if args.out or not args.quick:
        RESULTS.mkdir(exist_ok=True)
        out = args.out or RESULTS / f"ladder-{machine_name(ladder.machine)}.json"
        out.write_text(ladder.to_json(), encoding="utf-8")
        print(f"{plural(len(ladder.climbs), 'rung')}, written to {out}")
    return 0 if ladder.complete else 130


if __name__ == "__main__":
    sys.exit(main())
