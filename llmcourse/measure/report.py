"""What was measured, as JSON with a schema, as a table, and as a picture."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from llmcourse.html import BLUE, VERMILLION
from llmcourse.measure.figure import Figure, digits, noise, percentile, ratios
from llmcourse.measure.limit import Reads, fraction_of_limit
from llmcourse.measure.memory import Memory
from llmcourse.show import Table, amount, plural, printable

T = TypeVar("T")

SCHEMA = 1  # goes up when a field changes its meaning or goes


@dataclass(frozen=True)
class Result:
    """One model with one setting and so many rows."""

    model: str
    setting: str
    rows: int
    first_ms: Figure  # to the first new token
    between_ms: Figure  # one value for each step of all rounds
    decode: Figure  # tokens/s of one row after the first token
    throughput: Figure  # tokens/s of all rows, reading the prompts included
    memory: Memory | None  # of reading the prompts; None where it is not counted
    reads: Reads  # what a step reads in the middle of the run

    @property
    def slowest_between_ms(self) -> float:
        """The 99th percentile of the times between tokens."""
        return percentile(self.between_ms.values, 0.99)

    @property
    def speed(self) -> float:
        """Tokens a second of all rows together after the first token, the median."""
        return self.rows * self.decode.median


@dataclass(frozen=True)
class Report:
    """All results of one run on one machine."""

    machine: dict  # what `describe_machine` returns
    bandwidth: Figure  # GB/s that are read, before and after
    results: tuple[Result, ...]
    prompt_tokens: int
    new_tokens: int
    date: str  # YYYY-MM-DD
    complete: bool = True  # False after Ctrl-C
    failed: dict[str, str] = field(default_factory=dict)  # what could not be run, and why

    @property
    def noise(self) -> str:
        """A sentence if the machine is too noisy to tell small differences, else "".

        The widest spread of what was measured, bandwidth included.
        """
        figures = [self.bandwidth, *(result.decode for result in self.results)]
        if self.results and min(len(figure.values) for figure in figures) < 3:
            return "With fewer than 3 rounds nobody can tell how noisy this machine is."
        return noise(figures)

    def limit(self, result: Result) -> float:
        """Return tokens/s of all rows if nothing but reading memory took time."""
        return result.reads.limit(max(self.bandwidth.values))

    def fraction(self, result: Result) -> float:
        """Return the share of that limit that was reached."""
        return fraction_of_limit(result.speed, result.reads, max(self.bandwidth.values))

    def beside(self, result: Result) -> Figure:
        """Return its speed beside the first result of the same model, round by round."""
        base = next(one for one in self.results if one.model == result.model)
        rounds = min(len(one.decode.values) for one in (base, result))  # after Ctrl-C one has more
        speeds = ([one.rows * each for each in one.decode.values] for one in (result, base))
        return ratios(*(values[:rounds] for values in speeds))

    def table(self) -> Table:
        """Return a line for each result; speed beside the first result of the same model."""
        headers = ["model", "setting", "rows", "first token", "between (p99)", "tokens/s"]
        headers += ["beside", "with prompts", "of the limit", "weights", "cache", "activations"]
        lines = [self._line(result) for result in self.results]
        models = {printable(result.model) for result in self.results}
        if len(models) == 1:  # it stands in the caption, and the table fits a terminal sooner
            headers, lines = headers[1:], [line[1:] for line in lines]
        machine = self.machine
        caption = (
            f"{models.pop() + ', ' if len(models) == 1 else ''}"
            f"{plural(self.prompt_tokens, 'prompt token')}, {self.new_tokens} new, on "
            f"{machine['processor'] if machine['device'] == 'cpu' else machine['device']}, "
            f"{plural(machine['threads'], 'thread')}, which reads {self.bandwidth}"
        )
        return Table(printable(caption), headers, lines)

    def _line(self, result: Result) -> tuple[str, ...]:
        tokens = Figure(tuple(result.rows * each for each in result.decode.values), "")
        memory = result.memory
        sizes = ("", "") if memory is None else (amount(memory.cache), amount(memory.activations))
        return (
            printable(result.model),
            result.setting,
            str(result.rows),
            f"{digits(result.first_ms.median)} ms",
            f"{digits(result.between_ms.median)} ms ({digits(result.slowest_between_ms)})",
            str(tokens).replace("  ", " "),
            _times(self.beside(result)),
            digits(result.throughput.median),
            f"{self.fraction(result):.0%}",
            "" if memory is None else amount(memory.weights),
            *sizes,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before the figures are believed."""
        mixed = {one.model for one in self.results if one.reads.all_experts}
        experts = [
            f"{printable(model)}: its config does not say how many experts a token is sent to, so "
            "all are counted and the limit is too low."
            for model in sorted(mixed)
        ]
        failed = [f"{name} could not be run: {printable(why)}" for name, why in self.failed.items()]
        early = [] if self.complete else ["Interrupted: what had been measured is shown."]
        return tuple(filter(None, [self.noise, *experts, *failed, *early]))

    def __repr__(self) -> str:
        return "\n".join([repr(self.table()), *self.notes])

    def to_json(self) -> str:
        """Return the report as JSON; `read` reads it back."""
        fields = asdict(self)
        for result, made in zip(self.results, fields["results"], strict=True):
            made |= {name: of(self, result) for name, of in _DERIVED.items()}
        return json.dumps({"schema": SCHEMA, **fields}, indent=1) + "\n"


_DERIVED = {  # what stands in the JSON for its readers, and follows from the rest
    "speed": lambda report, result: result.speed,
    "p99_ms": lambda report, result: result.slowest_between_ms,
    "bytes_per_token": lambda report, result: result.reads.per_token,
    "limit": Report.limit,
    "fraction_of_limit": Report.fraction,
}


def read(path: Path) -> Report:
    """Read a report from a JSON file. Raises ValueError if it is none, or of another schema."""
    return read_json(path, "report of `python -m llmcourse measure`", SCHEMA, of_fields)


def of_fields(given: dict) -> Report:
    """Return a report of its fields, as JSON has them; those that follow from others are left."""
    bandwidth, results = figure(given["bandwidth"]), tuple(map(_result, given["results"]))
    rest = {name: value for name, value in given.items() if name != "schema"}
    return Report(**rest | {"bandwidth": bandwidth, "results": results})


def read_json(path: Path, what: str, schema: int, made: Callable[[dict], T]) -> T:
    """Return what `made` makes of the fields in a JSON file.

    what: the file should be. Raises ValueError if it is none, has another schema, or lacks fields.
    """
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
        found = given.pop("schema")
    except (ValueError, AttributeError, KeyError, TypeError):
        raise ValueError(f"{path} is no {what}.") from None
    if found != schema:
        raise ValueError(f"{path} has schema {found}, and this version reads {schema}.")
    try:
        return made(given)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no whole {what.split()[0]}: {error}") from None


def _times(ratio: Figure) -> str:
    """Return `1.85x (1.80 to 1.92)`, or `1.00x` for what is beside itself."""
    low, high = ratio.quartiles
    spread = f" ({digits(low)} to {digits(high)})" if high > low else ""
    return f"{digits(ratio.median)}x{spread}"


def figure(given: dict) -> Figure:
    """Return a figure of its fields, as JSON has them."""
    return Figure(tuple(given["values"]), given["unit"])


def _result(given: dict) -> Result:
    figures = ("first_ms", "between_ms", "decode", "throughput")
    made = {name: figure(given[name]) for name in figures}
    memory = given["memory"] and Memory(**given["memory"])
    rest = {name: value for name, value in given.items() if name not in _DERIVED}
    return Result(**rest | made | {"memory": memory, "reads": Reads(**given["reads"])})


def leaderboard(reports: Sequence[Report]) -> Table:
    """Return one table of several machines' reports, the fastest first."""
    rows = [(report, result) for report in reports for result in report.results]
    rows.sort(key=lambda pair: -pair[1].speed)
    headers = ("model", "setting", "rows", "tokens/s", "of the limit", "weights", "machine", "date")
    return Table(
        f"{plural(len(rows), 'result')} of {plural(len(reports), 'report')}",
        headers,
        [
            (
                printable(result.model),
                printable(result.setting),
                str(result.rows),
                digits(result.speed),
                f"{report.fraction(result):.0%}",
                "" if result.memory is None else amount(result.memory.weights),
                printable(f"{report.machine.get('processor')}, {report.machine.get('device')}"),
                printable(report.date),
            )
            for report, result in rows
        ],
    )


def save_picture(report: Report, path: Path) -> None:
    """Draw tokens a second of each result, with the machine's limit as a mark, into a file."""
    from matplotlib.figure import Figure as Canvas

    names = [f"{one.model} {one.setting}, {plural(one.rows, 'row')}" for one in report.results]
    height = 1.2 + 0.4 * len(names)
    canvas = Canvas(figsize=(8, height), layout="constrained", facecolor="white")
    axes = canvas.add_subplot()
    axes.barh(names, [one.speed for one in report.results], color=BLUE)
    for place, one in enumerate(report.results):
        axes.plot(
            [report.limit(one)] * 2, [place - 0.4, place + 0.4], color=VERMILLION, linewidth=2
        )
    axes.invert_yaxis()
    axes.set_xlabel("tokens/s of all rows; the line is the limit that reading memory sets")
    axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, dpi=110)
