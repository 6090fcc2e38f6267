"""What a run found, as JSON with a schema and as a table; several boards made one."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from llmcourse.measure import report
from llmcourse.measure.figure import Figure
from llmcourse.measure.report import Report, Result, read_json
from llmcourse.quality import Paired, Proportion, paired, proportion
from llmcourse.show import Table, amount, plural, printable

SCHEMA = 1  # goes up when a field changes its meaning or goes


@dataclass(frozen=True)
class Standing:
    """One entry, and what it made of each item."""

    model: str
    setting: str  # such as "bfloat16+template"
    measured: str  # the setting's part whose speed was measured, such as "bfloat16"
    fingerprint: str  # of the model's files
    seconds: float  # that its items took
    answers: tuple[dict, ...]  # id, kind, right; chosen and log_likelihoods, or written

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.model}, {self.setting}"

    @property
    def quality(self) -> Proportion:
        """The share of all items that are right; each item counts alike."""
        return proportion(sum(one["right"] for one in self.answers), len(self.answers))

    @property
    def kinds(self) -> dict[str, Proportion]:
        """The share of each kind."""
        kinds: dict[str, list[bool]] = {}
        for one in self.answers:
            kinds.setdefault(one["kind"], []).append(one["right"])
        return {kind: proportion(sum(right), len(right)) for kind, right in kinds.items()}

    def beside(self, first: "Standing") -> Paired:
        """Compare it with another on the same items. Raises ValueError where they differ."""
        if [one["id"] for one in self.answers] != [one["id"] for one in first.answers]:
            raise ValueError(f"{self.name} and {first.name} were not asked the same items.")
        sides = ([one["right"] for one in side.answers] for side in (first, self))
        return paired(*sides)


@dataclass(frozen=True)
class Board:
    """All entries of one run, or of several on the same items."""

    machine: dict  # what `describe_machine` returns
    date: str  # YYYY-MM-DD
    items: str  # their SHA-256, from `quality.digest`
    by: str  # what a choice's logarithm was divided by, one of `quality.BY`
    standings: tuple[Standing, ...]
    measured: dict[str, Report] = field(default_factory=dict)  # speed and memory, by model
    failed: dict[str, str] = field(default_factory=dict)  # what could not be run, and why

    def speed(self, standing: Standing) -> Figure | None:
        """Return tokens/s of one row after the first token; None where they were not measured."""
        result = self._result(standing)
        return result and result.decode

    def memory(self, standing: Standing) -> int | None:
        """Return the bytes of weights, cache and activations; None where they are not known."""
        result = self._result(standing)
        return result.memory.peak if result and result.memory else None

    def _result(self, standing: Standing) -> Result | None:
        made = self.measured.get(standing.model)
        fits = [one for one in (made.results if made else ()) if one.setting == standing.measured]
        return fits[0] if fits else None

    def table(self) -> Table:
        """Return a line for each entry, in the order that was asked for."""
        kinds = list(dict.fromkeys(kind for one in self.standings for kind in one.kinds))
        headers = ["model", "setting", "right", *kinds, "tokens/s", "memory", "beside the first"]
        rows = [self._line(one, kinds) for one in self.standings]
        models = {one.model for one in self.standings}
        if len(models) == 1:  # it stands in the caption
            headers, rows = headers[1:], [row[1:] for row in rows]
        count = len(self.standings[0].answers) if self.standings else 0
        caption = f"{models.pop() + ', ' if len(models) == 1 else ''}{plural(count, 'item')}, "
        caption += f"{self.date}; in brackets 95% intervals, of tokens/s the quartiles"
        return Table(printable(caption), headers, rows)

    def _line(self, one: Standing, kinds: Sequence[str]) -> list[str]:
        speed, memory = self.speed(one), self.memory(one)
        first = self.standings[0]
        shares = [one.kinds.get(kind) for kind in kinds]
        return [
            printable(one.model),
            printable(one.setting),
            str(one.quality),
            *(str(share) if share else "" for share in shares),
            str(speed).replace(" tokens/s", "") if speed else "",
            amount(memory) if memory else "",
            "" if one is first else str(one.beside(first)),
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before a line is believed."""
        noises = [made.noise for made in self.measured.values()]
        failed = [f"{name} could not be run: {printable(why)}" for name, why in self.failed.items()]
        return tuple(
            filter(None, dict.fromkeys([_comparisons(len(self.standings) - 1), *noises, *failed]))
        )

    def __repr__(self) -> str:
        return "\n".join([repr(self.table()), *self.notes])

    def to_json(self) -> str:
        """Return the board as JSON; `read` reads it back."""
        fields = {"schema": SCHEMA, **asdict(self)}
        fields["measured"] = {
            name: json.loads(made.to_json()) for name, made in self.measured.items()
        }
        fields["standings"] = [
            asdict(one) | {"quality": asdict(one.quality)} for one in self.standings
        ]
        return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"


def _comparisons(count: int) -> str:
    """Return how many comparisons with the first entry were made, and what follows from that."""
    if count < 1:
        return ""
    if count == 1:
        return "1 comparison with the first entry."
    return (
        f"{count} comparisons with the first entry: the more there are, the sooner chance "
        f"makes a p small, so look for one below {0.05 / count:.2g} (0.05 / {count})."
    )


def read(path: Path | str) -> Board:
    """Read a board from a JSON file. Raises ValueError if it is none, or of another schema."""
    return read_json(Path(path), "leaderboard of `python -m llmcourse leaderboard`", SCHEMA, _board)


def _board(given: dict) -> Board:
    standings = tuple(
        Standing(
            **{
                name: tuple(value) if name == "answers" else value
                for name, value in one.items()
                if name != "quality"
            }
        )
        for one in given["standings"]
    )
    measured = {name: report.of_fields(made) for name, made in given["measured"].items()}
    return Board(**given | {"standings": standings, "measured": measured})


def merge(boards: Sequence[Board]) -> Board:
    """Return one board of several on the same items, as of the first one's machine.

    Raises ValueError where items, machines or the way to choose differ, and for one entry twice.
    """
    first, *others = boards
    for other in others:
        for name in ("items", "by", "machine"):
            if getattr(other, name) != getattr(first, name):
                raise ValueError(f"These boards differ in {name}, so one table would mislead.")
    standings = tuple(one for board in boards for one in board.standings)
    names = [one.name for one in standings]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{printable(min(twice))} stands on two of these boards.")
    measured, failed = {}, {}
    for board in boards:
        failed |= board.failed
        for name, made in board.measured.items():
            known = measured.get(name)
            joined = known and replace(known, results=known.results + made.results)
            measured[name] = joined or made
    return Board(first.machine, first.date, first.items, first.by, standings, measured, failed)
