"""What the ladder measured: JSON with a schema, a table in Markdown, and what the goals came to."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.rung_process import Turn
from llmcourse.measure.figure import Figure, digits, noise, ratios
from llmcourse.measure.report import figure, read_json
from llmcourse.show import plural

SCHEMA = 1  # goes up when a field changes its meaning or goes
BASE = "float32"  # the rung that the others are compared with
LIBRARY = "generate, float32"
OWN = "own step"  # how the names of rungs begin that are written by hand
RIVAL = "llama.cpp Q4_1"  # on the very same weights


@dataclass(frozen=True)
class Climb:
    """One rung, and what it did in each round."""

    name: str
    version: str  # of the program
    threads: int
    weight_bytes: int  # that one token reads
    weights: str  # "float32", "int8": the kind that the visible loop has to run for the same tokens
    rounds: dict[int, tuple[Turn, ...]]  # by number of the round; a process may last several
    processes: int  # how many were started
    equal_tokens: int | None = None  # of the first turn, before one differs from the visible loop's

    @property
    def tokens(self) -> tuple[int, ...]:
        """The new tokens of the first turn."""
        return next(iter(self.rounds.values()))[0].tokens

    @property
    def speed(self) -> Figure:
        """Tokens a second after the first: one value a round, the median of its turns."""
        return Figure(tuple(self._speed(number) for number in self.rounds), "tokens/s")

    @property
    def first_ms(self) -> Figure:
        """Milliseconds to the first new token, of every turn."""
        firsts = tuple(1000 * turn.first for turns in self.rounds.values() for turn in turns)
        return Figure(firsts, "ms")

    def _speed(self, number: int) -> float:
        return Figure(tuple(turn.speed for turn in self.rounds[number]), "tokens/s").median

    def beside(self, other: "Climb") -> Figure | None:
        """Return how many times as fast it is, one value for each round that both ran in."""
        both = sorted(self.rounds.keys() & other.rounds.keys())
        if not both:
            return None
        return ratios(map(self._speed, both), map(other._speed, both))


@dataclass(frozen=True)
class Ladder:
    """All rungs of one run on one machine."""

    machine: dict  # what `describe_machine` returns, and "instructions"
    bandwidth: Figure  # GB/s that are read, of all rounds
    climbs: tuple[Climb, ...]
    prompt_tokens: int
    new_tokens: int
    date: str  # YYYY-MM-DD
    complete: bool = True  # False after Ctrl-C
    failed: dict[str, str] = field(default_factory=dict)  # what could not be run, and why
    perplexity: dict[str, float] = field(default_factory=dict)  # by kind of weights

    def named(self, name: str) -> Climb | None:
        return next((climb for climb in self.climbs if climb.name == name), None)

    @property
    def ours(self) -> tuple[Climb, ...]:
        """The rungs that are no rival's."""
        return tuple(climb for climb in self.climbs if climb.version.startswith("torch"))

    @property
    def fastest(self) -> Climb | None:
        """The fastest rung that is ours."""
        return max(self.ours, key=lambda climb: climb.speed.median, default=None)

    def of_the_limit(self, climb: Climb) -> float:
        """Return the share of the tokens a second that reading the weights allows.

        By the median of the bandwidth, which a busy hour lowers as it lowers the rung.
        """
        return climb.speed.median * climb.weight_bytes / (self.bandwidth.median * 1e9)

    def table(self) -> str:
        """Return the table in Markdown, with a caption and what failed."""
        headers = ["rung", "tokens/s", f"x {BASE}", "x llama.cpp", "MB a token", "of the limit"]
        headers += ["first token", "same tokens"]
        base, rival = self.named(BASE), self.named(RIVAL)
        rows = [self._row(climb, base, rival) for climb in self.climbs]
        lines = [f"| {' | '.join(row)} |" for row in (headers, ["---"] * len(headers), *rows)]
        failed = [f"- {name} could not be run: {why}" for name, why in self.failed.items()]
        parts = [self.caption, "\n".join(lines), self.noise, "\n".join(failed)]
        return "\n\n".join(filter(None, parts)) + "\n"

    def _row(self, climb: Climb, base: Climb | None, rival: Climb | None) -> list[str]:
        same = climb.equal_tokens
        return [
            climb.name,
            str(climb.speed).replace(" tokens/s", ""),
            short(base and climb.beside(base)),
            str((rival and climb.beside(rival)) or "").replace(" x", ""),
            f"{climb.weight_bytes / 1e6:.0f}",
            f"{self.of_the_limit(climb):.0%}",
            f"{digits(climb.first_ms.median)} ms",
            "" if same is None else "all" if same == self.new_tokens else f"first {same}",
        ]

    @property
    def caption(self) -> str:
        """What the table is of."""
        machine, most = self.machine, max((len(one.rounds) for one in self.climbs), default=0)
        versions = sorted({climb.version for climb in self.climbs})
        early = "" if self.complete else " Interrupted: what had been measured is shown."
        return (
            f"{machine['processor']}, {machine['cores']} cores "
            f"({', '.join(machine.get('instructions', []))}), "
            f"{machine['threads']} threads; it reads {self.bandwidth}. Batch 1, "
            f"{self.prompt_tokens} prompt tokens, {self.new_tokens} new, greedy; medians of "
            f"{plural(most, 'round')}, quartiles in brackets. "
            f"{', '.join(versions)}; {self.date}.{early}"
        )

    @property
    def noise(self) -> str:
        """A sentence if the machine is too noisy to tell small differences, else ""."""
        figures = [self.bandwidth, *(climb.speed for climb in self.climbs)]
        return noise(figures)

    def to_json(self) -> str:
        """Return the ladder as JSON; `read` reads it back."""
        fields = asdict(self)
        for climb, made in zip(self.climbs, fields["climbs"], strict=True):
            made["rounds"] = {
                number: [turn | {"tokens": list(turn["tokens"])} for turn in turns]
                for number, turns in made["rounds"].items()
            }
            made["tokens_per_second"] = climb.speed.median
            made["of_the_limit"] = self.of_the_limit(climb)
        text = json.dumps({"schema": SCHEMA, **fields}, indent=1) + "\n"
        lists = re.compile(r"\[[^\[\]{}]*\]")  # each in one line: thousands of lines fewer
        return lists.sub(lambda one: re.sub(r"\s*\n\s*", " ", one[0]), text)


def goals(ladder: Ladder) -> str:
    """Return a table in Markdown: each goal of the ladder, what was measured, what is missing."""
    fastest, rival = ladder.fastest, ladder.named(RIVAL)
    rows = []
    loop, library = ladder.named(BASE), ladder.named(LIBRARY)
    if loop and library and (beside := loop.beside(library)):
        what = f"the visible loop beside `generate`, at least 1.00 ({LIBRARY})"
        rows.append((what, str(beside), missing(beside.median, 1.0)))
    if fastest and rival and (beside := fastest.beside(rival)):
        what = f"{fastest.name} beside {RIVAL}, at least 1.0 (beyond it: 1.3)"
        processes = min(fastest.processes, rival.processes)
        rows.append((what, f"{beside}, {processes} processes", missing(beside.median, 1.0)))
    for climb in filter(None, (fastest, rival)):
        share = ladder.of_the_limit(climb)
        rows.append((f"{climb.name}: share of the limit, 0.8", digits(share), missing(share, 0.8)))
    for climb in ladder.ours:
        if climb.name.startswith(OWN) and climb.equal_tokens is not None:
            what = f"{climb.name}: the tokens of the visible loop on the same weights"
            same, all_of_them = climb.equal_tokens, ladder.new_tokens
            rows.append((what, f"{same} of {all_of_them}", missing(same, all_of_them)))
    if BASE in ladder.perplexity:
        base = ladder.perplexity[BASE]
        for kind in sorted(ladder.perplexity.keys() - {BASE}):
            more = ladder.perplexity[kind] / base - 1
            goal = ", at most 0.5%" if kind == "int8" else ""
            over = "" if not goal else "reached" if more <= 0.005 else f"{more - 0.005:.2%} over"
            rows.append((f"{kind} perplexity over {BASE}'s{goal}", f"{more:+.2%}", over))
    lines = ["| goal | measured | |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def missing(measured: float, goal: float) -> str:
    return "reached" if measured >= goal else f"{1 - measured / goal:.0%} short"


def short(figure: Figure | None) -> str:
    """Return the median alone."""
    return "" if figure is None else digits(figure.median)


def read(path: Path) -> Ladder:
    """Read a ladder from a JSON file. Raises ValueError if it is none, or of another schema."""

    def ladder(given: dict) -> Ladder:
        bandwidth, climbs = figure(given["bandwidth"]), tuple(map(_climb, given["climbs"]))
        return Ladder(**given | {"bandwidth": bandwidth, "climbs": climbs})

    return read_json(path, "result of `make bench`", SCHEMA, ladder)


def _climb(given: dict) -> Climb:
    derived = ("tokens_per_second", "of_the_limit")
    rest = {name: value for name, value in given.items() if name not in derived}
    rounds = {
        int(number): tuple(Turn(**turn | {"tokens": tuple(turn["tokens"])}) for turn in turns)
        for number, turns in given["rounds"].items()
    }
    return Climb(**rest | {"rounds": rounds})


def first_differing(tokens: Sequence[int], expected: Sequence[int]) -> int:
    """Return how many tokens are the same before one differs."""
    pairs = zip(tokens, expected, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), len(tokens))
